//! Tests of the rate limiter.

use pos_port_clock::{ManualClock, ScriptedEntropy};
use proptest::prelude::{any, proptest};
use time::OffsetDateTime;

use crate::limits::rate_limiter::*;

/// Limits of config/default.toml.
const DEFAULT_LIMITS: RateLimits = RateLimits {
    per_device: Rate { per_minute: 60, burst: 20 },
    per_address: Rate { per_minute: 60_000, burst: 10_000 },
};

fn rate_limiter(rates: RateLimits) -> (RateLimiter, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(OffsetDateTime::UNIX_EPOCH));
    let port: Arc<dyn Clock> = clock.clone();
    (RateLimiter::new(rates, &port), clock)
}

proptest! {
    /// Polls every 3 to 5 seconds, up to a fifth early or late, with occasional extra requests for a code or after a start.
    #[test]
    fn polling_at_the_documented_interval_is_never_rejected(
        waits in proptest::collection::vec(2_400_i64..=6_000, 1..2_000),
        extra in proptest::collection::vec(any::<bool>(), 2_000),
    ) {
        let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
        let client_ip = Some(IpAddr::from([10, 0, 0, 1]));
        for (wait, extra) in waits.into_iter().zip(extra) {
            clock.advance(time::Duration::milliseconds(wait));
            for _ in 0..=usize::from(extra) {
                assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(1), client_ip), Ok(()));
            }
        }
    }
}

#[test]
fn three_thousand_terminals_can_share_an_address() {
    let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
    let client_ip = Some(IpAddr::from([10, 0, 0, 1]));
    for second in 0..120 {
        clock.advance(time::Duration::seconds(1));
        for terminal in 0..3_000_u32 {
            if (terminal + second) % 3 == 0 {
                assert_eq!(
                    rate_limiter.admit_new_code(&DeviceId::from_bits(terminal), client_ip),
                    Ok(()),
                    "{terminal} at {second}"
                );
            }
        }
    }
}

#[test]
fn a_device_over_its_limit_waits_and_others_do_not() {
    let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
    let (one, other) = (DeviceId::from_bits(1), DeviceId::from_bits(2));
    for _ in 0..20 {
        assert_eq!(rate_limiter.admit_new_code(&one, None), Ok(()));
    }
    assert_eq!(rate_limiter.admit_new_code(&one, None), Err(Duration::from_secs(1)));
    assert_eq!(rate_limiter.admit_new_code(&other, None), Ok(()));
    clock.advance(time::Duration::seconds(1));
    assert_eq!(rate_limiter.admit_new_code(&one, None), Ok(()));
    assert_eq!(rate_limiter.admit_new_code(&one, None), Err(Duration::from_secs(1)));
}

#[test]
fn an_address_has_its_own_limit() {
    let rates = RateLimits { per_address: Rate { per_minute: 60, burst: 2 }, ..DEFAULT_LIMITS };
    let (rate_limiter, _clock) = rate_limiter(rates);
    let (here, there) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
    let admitted: Vec<_> =
        (0..3).map(|bits| rate_limiter.admit_new_code(&DeviceId::from_bits(bits), here).is_ok()).collect();
    assert_eq!(admitted, [true, true, false]);
    assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(9), there), Ok(()));
}

#[test]
fn the_limit_of_an_address_holds_across_threads() {
    let rates = RateLimits { per_address: Rate { per_minute: 1, burst: 2_000 }, ..DEFAULT_LIMITS };
    let (rate_limiter, _clock) = rate_limiter(rates);
    let shop = Some(IpAddr::from([10, 0, 0, 1]));
    let admitted = |thread: u32| {
        let ids = (0..1_000).map(|call| DeviceId::from_bits(thread * 1_000 + call));
        ids.filter(|id| rate_limiter.admit_new_code(id, shop).is_ok()).count()
    };
    let all: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || admitted(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(all, 2_000);
}

#[test]
fn addresses_do_not_share_limits() {
    let rates = RateLimits { per_address: Rate { per_minute: 1, burst: 1_600 }, ..DEFAULT_LIMITS };
    let (rate_limiter, _clock) = rate_limiter(rates);
    let mut admitted = vec![0; 600];
    for call in 0..1_600 {
        for (shop, admitted) in (0_u32..).zip(&mut admitted) {
            let client_ip = Some(IpAddr::from(shop.to_be_bytes()));
            *admitted +=
                u32::from(rate_limiter.admit_new_code(&DeviceId::from_bits(call * 600 + shop), client_ip).is_ok());
        }
    }
    assert!(admitted.iter().all(|admitted| *admitted == 1_600), "{admitted:?}");
}

#[test]
fn requests_with_another_terminals_id_do_not_block_that_terminal() {
    let (rate_limiter, _clock) = rate_limiter(DEFAULT_LIMITS);
    let device = DeviceId::from_bits(1);
    let (shop, attacker) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
    assert!((0..100).any(|_| rate_limiter.admit_new_code(&device, attacker).is_err()));
    assert_eq!(rate_limiter.admit_new_code(&device, shop), Ok(()));
}

#[test]
fn rejected_requests_do_not_count_against_the_address() {
    let rates = RateLimits { per_address: Rate { per_minute: 60, burst: 30 }, ..DEFAULT_LIMITS };
    let (rate_limiter, _clock) = rate_limiter(rates);
    let shop = Some(IpAddr::from([10, 0, 0, 1]));
    let admitted = (0..1_000).filter(|_| rate_limiter.admit_new_code(&DeviceId::from_bits(1), shop).is_ok()).count();
    assert_eq!(admitted, 20);
    assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(2), shop), Ok(()));
}

#[test]
fn addresses_of_one_ipv6_network_share_a_limit() {
    let rates = RateLimits { per_address: Rate { per_minute: 60, burst: 2 }, ..DEFAULT_LIMITS };
    let (rate_limiter, _clock) = rate_limiter(rates);
    let of = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let admitted: Vec<_> = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]
        .iter()
        .zip(0..)
        .map(|(address, bits)| rate_limiter.admit_new_code(&DeviceId::from_bits(bits), of(address)).is_ok())
        .collect();
    assert_eq!(admitted, [true, true, false, true]);
}

#[test]
fn a_rate_of_zero_is_no_limit() {
    let none = Rate { per_minute: 0, burst: 0 };
    let (rate_limiter, _clock) = rate_limiter(RateLimits { per_device: none, per_address: none });
    assert!((0..10_000).all(|_| rate_limiter.admit_new_code(&DeviceId::from_bits(1), None).is_ok()));
}

#[test]
fn a_sweep_removes_idle_counters() {
    let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
    let devices = rate_limiter.limiters.devices.as_ref().unwrap();
    for bits in 0..1_000 {
        assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
    }
    clock.advance(time::Duration::MINUTE);
    for call in 0..SWEEP_EVERY {
        clock.advance(time::Duration::milliseconds(i64::from(call % 2 == 0)));
        let _ = rate_limiter.admit_new_code(&DeviceId::from_bits(5_000), None);
    }
    assert_eq!(devices.counters.len(), 1);
}

/// Blocks the only blocking thread, so that the work of the sweep can be distinguished from that of the request.
#[test]
fn a_sweep_does_not_block_requests() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let blocker = tokio::task::spawn_blocking(move || blocked.recv());
        for bits in 0..1_000 {
            assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
        }
        clock.advance(time::Duration::MINUTE);
        // Enough for two sweeps; the second is skipped because the first is still running.
        for _ in 0..2 * SWEEP_EVERY {
            assert_eq!(rate_limiter.admit(None), Ok(()));
        }
        let counters = || rate_limiter.limiters.len();
        assert_eq!(counters(), 1_000, "no request has swept");
        drop(release);
        assert!(blocker.await.unwrap().is_err());
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!((counters(), rate_limiter.limiters.sweeping.load(Ordering::Relaxed)), (0, false));
    });
}

/// The peak tells a sweep that a burst is over and its memory can be released.
#[test]
fn a_sweep_after_a_burst_resets_the_peak() {
    let (rate_limiter, clock) = rate_limiter(DEFAULT_LIMITS);
    let admit = |bits| rate_limiter.admit_new_code(&DeviceId::from_bits(bits), None);
    let burst = u32::try_from(SWEEP_EVERY).unwrap();
    (0..burst).for_each(|bits| assert_eq!(admit(bits), Ok(())));
    assert!(rate_limiter.limiters.peak.load(Ordering::Relaxed) > 60_000);
    clock.advance(time::Duration::MINUTE);
    for _ in 0..3 * SWEEP_EVERY {
        clock.advance(time::Duration::SECOND);
        assert_eq!(admit(7), Ok(()));
    }
    assert_eq!(rate_limiter.limiters.peak.load(Ordering::Relaxed), 1);
}

#[test]
fn eviction_removes_idle_counters_only() {
    let rates = RateLimits { per_device: Rate { per_minute: 1, burst: 2 }, ..DEFAULT_LIMITS };
    let (rate_limiter, clock) = rate_limiter(rates);
    for bits in 0..1_000 {
        assert_eq!(rate_limiter.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
    }
    clock.advance(time::Duration::minutes(2));
    assert!((0..3).any(|_| rate_limiter.admit_new_code(&DeviceId::from_bits(7), None).is_err()));
    clock.advance(time::Duration::SECOND);
    rate_limiter.evict_idle();
    assert_eq!(rate_limiter.limiters.devices.as_ref().unwrap().counters.len(), 1);
    assert!(rate_limiter.admit_new_code(&DeviceId::from_bits(7), None).is_err(), "it is still over its limit");
}

#[test]
fn delays_have_jitter() {
    let extremes = ScriptedEntropy::new([0, u32::MAX, 0, u32::MAX, 0, u32::MAX]);
    assert_eq!((poll_delay(PollInterval::PENDING, &extremes), poll_delay(PollInterval::PENDING, &extremes)), (3, 5));
    let two = Duration::from_secs(2);
    assert_eq!((with_jitter(two, &extremes).as_secs(), with_jitter(two, &extremes).as_secs()), (2, 3));
    let long = Duration::from_secs(300);
    assert_eq!((with_jitter(long, &extremes).as_secs(), with_jitter(long, &extremes).as_secs()), (300, 375));
}
