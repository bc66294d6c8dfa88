//! Contract cases: failure counts of claims.

use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptCounts, AttemptLimit, FailureWindow};
use time::{Duration, OffsetDateTime};

use crate::Storage;
use crate::suite::fixtures::{at, claimant, merchant, refused_claim, user};

const LIMIT: AttemptLimit = AttemptLimit { max_failures: 10, window: Duration::seconds(300) };

async fn record(storage: &Storage, claimant: &Claimant, now: OffsetDateTime) -> AttemptCounts {
    let counts = storage.failures.record(&refused_claim(claimant, now), &LIMIT).await.unwrap();
    assert_eq!(
        storage.failures.attempt_counts(claimant).await.unwrap(),
        counts,
        "the returned counts are the stored ones"
    );
    counts
}

fn window(started_at: OffsetDateTime, failures: u32) -> Option<FailureWindow> {
    Some(FailureWindow { started_at, failures })
}

/// A claimant without failures has no windows.
pub async fn a_new_claimant_has_no_windows(storage: Storage) {
    assert_eq!(storage.failures.attempt_counts(&claimant()).await.unwrap(), AttemptCounts::default());
}

/// Failures within a window are counted, and its start does not change.
pub async fn failures_are_counted_within_the_window(storage: Storage) {
    for failures in 1..=12 {
        let counts = record(&storage, &claimant(), at(i64::from(failures))).await;
        assert_eq!(counts.merchant, window(at(1), failures));
        assert_eq!(counts.user, window(at(1), failures));
    }
}

/// A failure a microsecond before the end still counts; at exactly the end a new window starts.
pub async fn a_new_window_starts_exactly_at_the_end(storage: Storage) {
    record(&storage, &claimant(), at(0)).await;
    let end = LIMIT.window_end(at(0));
    let counts = record(&storage, &claimant(), end - Duration::microseconds(1)).await;
    assert_eq!((counts.merchant, counts.user), (window(at(0), 2), window(at(0), 2)));
    let counts = record(&storage, &claimant(), end).await;
    assert_eq!((counts.merchant, counts.user), (window(end, 1), window(end, 1)));
    let counts = record(&storage, &claimant(), end + Duration::microseconds(1)).await;
    assert_eq!((counts.merchant, counts.user), (window(end, 2), window(end, 2)));
}

/// A merchant's window counts all its users, a user's window only that user, and each starts on its own.
pub async fn merchant_and_user_have_separate_windows(storage: Storage) {
    let anna = claimant();
    let bert = Claimant { user_id: user("bert"), ..anna.clone() };
    let anna_at_other_merchant = Claimant { merchant_id: merchant(2), ..anna.clone() };
    record(&storage, &anna, at(0)).await;
    let counts = record(&storage, &bert, at(200)).await;
    assert_eq!((counts.merchant, counts.user), (window(at(0), 2), window(at(200), 1)));
    let counts = record(&storage, &bert, at(400)).await;
    assert_eq!((counts.merchant, counts.user), (window(at(400), 1), window(at(200), 2)));
    let counts = storage.failures.attempt_counts(&anna).await.unwrap();
    assert_eq!((counts.merchant, counts.user), (window(at(400), 1), window(at(0), 1)));
    let counts = storage.failures.attempt_counts(&anna_at_other_merchant).await.unwrap();
    assert_eq!((counts.merchant, counts.user), (None, window(at(0), 1)));
}

/// For any instants and lengths the store counts as [`AttemptLimit::count`] does, also if the clock is set back.
pub async fn counting_follows_the_domain_rule(storage: Storage) {
    let lengths =
        [Duration::seconds(1), Duration::ZERO, Duration::seconds(100), Duration::MAX, Duration::microseconds(1)];
    let mut expected = None;
    let mut number: u64 = 1;
    for step in 0..60 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every third instant is up to twenty minutes later, as with a fast clock.
        let span = if step % 3 == 0 { 1_200_000_000 } else { 3_000_000 };
        let now = at(0) + Duration::microseconds(i64::from((number >> 32) as u32 % span));
        let limit = AttemptLimit { max_failures: 3, window: lengths[step % lengths.len()] };
        expected = Some(limit.count(expected, now));
        let counts = storage.failures.record(&refused_claim(&claimant(), now), &limit).await.unwrap();
        assert_eq!((counts.merchant, counts.user), (expected, expected), "at step {step}");
    }
}

/// A window started by a fast clock is ignored by all other clocks: the next failure starts another.
pub async fn a_window_started_by_a_fast_clock_is_ignored(storage: Storage) {
    let limit = AttemptLimit { max_failures: 1, ..LIMIT };
    let fast = at(0) + AttemptLimit::MAX_CLOCK_SKEW;
    let table = [(fast, true, window(fast, 3)), (fast + Duration::HOUR, false, window(at(0), 1))];
    for (started_at, is_open, counted) in table {
        let ahead = storage.failures.record(&refused_claim(&claimant(), started_at), &limit).await.unwrap();
        assert_eq!(ahead.merchant, window(started_at, 1));
        let blocked = storage.failures.record_blocked(&refused_claim(&claimant(), at(0)), &limit).await.unwrap();
        assert_eq!(blocked, is_open, "only an open window is full");
        let counts = storage.failures.record(&refused_claim(&claimant(), at(0)), &limit).await.unwrap();
        assert_eq!((counts.merchant, counts.user), (counted, counted));
    }
}

/// A user whose subject equals a merchant's id has a separate window.
pub async fn a_user_named_like_a_merchant_is_separate(storage: Storage) {
    let twin = Claimant { merchant_id: merchant(1), user_id: user(&merchant(2).to_string()) };
    record(&storage, &twin, at(0)).await;
    let other = Claimant { merchant_id: merchant(2), user_id: user("bert") };
    assert_eq!(storage.failures.attempt_counts(&other).await.unwrap(), AttemptCounts::default());
}
