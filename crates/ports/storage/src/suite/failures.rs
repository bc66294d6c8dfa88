//! Counting failed claims.

use pos_domain::{ClaimLimit, ClaimStanding, Claimant, FailureWindow};
use time::{Duration, OffsetDateTime};

use super::fixtures::{at, claimant, merchant, refused, user};
use crate::Storage;

const LIMIT: ClaimLimit = ClaimLimit { max_failures: 10, window: Duration::seconds(300) };

async fn record(storage: &Storage, claimant: &Claimant, now: OffsetDateTime) -> ClaimStanding {
    let told = storage.failures.record(&refused(claimant, now), &LIMIT).await.unwrap();
    assert_eq!(storage.failures.standing(claimant).await.unwrap(), told, "what was told is what is kept");
    told
}

fn window(started_at: OffsetDateTime, failures: u32) -> Option<FailureWindow> {
    Some(FailureWindow { started_at, failures })
}

/// A claimant who never failed has no windows.
pub async fn nothing_failed_at_first(storage: Storage) {
    assert_eq!(storage.failures.standing(&claimant()).await.unwrap(), ClaimStanding::default());
}

/// Failures count up within the window, which keeps its start.
pub async fn failures_are_counted_within_the_window(storage: Storage) {
    for failures in 1..=12 {
        let told = record(&storage, &claimant(), at(i64::from(failures))).await;
        assert_eq!(told.merchant, window(at(1), failures));
        assert_eq!(told.user, window(at(1), failures));
    }
}

/// A failure a microsecond before the end still counts; at exactly the end a new window starts.
pub async fn a_new_window_starts_exactly_at_the_end(storage: Storage) {
    record(&storage, &claimant(), at(0)).await;
    let end = LIMIT.window_end(at(0));
    let told = record(&storage, &claimant(), end - Duration::microseconds(1)).await;
    assert_eq!((told.merchant, told.user), (window(at(0), 2), window(at(0), 2)));
    let told = record(&storage, &claimant(), end).await;
    assert_eq!((told.merchant, told.user), (window(end, 1), window(end, 1)));
    let told = record(&storage, &claimant(), end + Duration::microseconds(1)).await;
    assert_eq!((told.merchant, told.user), (window(end, 2), window(end, 2)));
}

/// A merchant's window counts all of its users, a user's only that user, and each starts by itself.
pub async fn merchant_and_user_have_windows_of_their_own(storage: Storage) {
    let anna = claimant();
    let bert = Claimant { user_id: user("bert"), ..anna.clone() };
    let anna_elsewhere = Claimant { merchant_id: merchant(2), ..anna.clone() };
    record(&storage, &anna, at(0)).await;
    let told = record(&storage, &bert, at(200)).await;
    assert_eq!((told.merchant, told.user), (window(at(0), 2), window(at(200), 1)));
    let told = record(&storage, &bert, at(400)).await;
    assert_eq!((told.merchant, told.user), (window(at(400), 1), window(at(200), 2)));
    let told = storage.failures.standing(&anna).await.unwrap();
    assert_eq!((told.merchant, told.user), (window(at(400), 1), window(at(0), 1)));
    let told = storage.failures.standing(&anna_elsewhere).await.unwrap();
    assert_eq!((told.merchant, told.user), (None, window(at(0), 1)));
}

/// Whatever the moments and the lengths, the store counts as [`ClaimLimit::count`] does, clocks that go back included.
pub async fn counting_is_the_domains_rule(storage: Storage) {
    let lengths =
        [Duration::seconds(1), Duration::ZERO, Duration::seconds(100), Duration::MAX, Duration::microseconds(1)];
    let mut expected = None;
    let mut number: u64 = 1;
    for step in 0..60 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Every third moment is up to twenty minutes later, as of a clock that is fast.
        let span = if step % 3 == 0 { 1_200_000_000 } else { 3_000_000 };
        let now = at(0) + Duration::microseconds(i64::from((number >> 32) as u32 % span));
        let limit = ClaimLimit { max_failures: 3, window: lengths[step % lengths.len()] };
        expected = Some(limit.count(expected, now));
        let told = storage.failures.record(&refused(&claimant(), now), &limit).await.unwrap();
        assert_eq!((told.merchant, told.user), (expected, expected), "at step {step}");
    }
}

/// A window that a fast clock began is over for everybody whose clock is not: the next failure starts another.
pub async fn a_window_of_a_fast_clock_is_over(storage: Storage) {
    let limit = ClaimLimit { max_failures: 1, ..LIMIT };
    let fast = at(0) + ClaimLimit::MAX_CLOCK_SKEW;
    let table = [(fast, true, window(fast, 3)), (fast + Duration::HOUR, false, window(at(0), 1))];
    for (started_at, is_open, counted) in table {
        let ahead = storage.failures.record(&refused(&claimant(), started_at), &limit).await.unwrap();
        assert_eq!(ahead.merchant, window(started_at, 1));
        let blocked = storage.failures.record_blocked(&refused(&claimant(), at(0)), &limit).await.unwrap();
        assert_eq!(blocked, is_open, "only an open window is full");
        let told = storage.failures.record(&refused(&claimant(), at(0)), &limit).await.unwrap();
        assert_eq!((told.merchant, told.user), (counted, counted));
    }
}

/// A user whose subject reads like a merchant's id is still another.
pub async fn a_merchant_and_a_user_of_one_name_are_two(storage: Storage) {
    let twin = Claimant { merchant_id: merchant(1), user_id: user(&merchant(2).to_string()) };
    record(&storage, &twin, at(0)).await;
    let other = Claimant { merchant_id: merchant(2), user_id: user("bert") };
    assert_eq!(storage.failures.standing(&other).await.unwrap(), ClaimStanding::default());
}
