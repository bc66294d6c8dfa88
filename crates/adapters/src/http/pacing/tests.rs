use pos_port_clock::{ManualClock, ScriptedEntropy};
use proptest::prelude::{any, proptest};
use time::OffsetDateTime;

use super::*;

/// As in config/default.toml.
const SHIPPED: Pace =
    Pace { per_device: Rate { per_minute: 60, burst: 20 }, per_address: Rate { per_minute: 60_000, burst: 10_000 } };

fn pacing(pace: Pace) -> (Pacing, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(OffsetDateTime::UNIX_EPOCH));
    let port: Arc<dyn Clock> = clock.clone();
    (Pacing::new(pace, &port), clock)
}

proptest! {
    /// Every 3 to 5 seconds, a fifth early or late; now and then with another call, for a code or after a start.
    #[test]
    fn the_documented_rhythm_is_never_refused(
        waits in proptest::collection::vec(2_400_i64..=6_000, 1..2_000),
        extra in proptest::collection::vec(any::<bool>(), 2_000),
    ) {
        let (pacing, clock) = pacing(SHIPPED);
        let origin = Some(IpAddr::from([10, 0, 0, 1]));
        for (wait, extra) in waits.into_iter().zip(extra) {
            clock.advance(time::Duration::milliseconds(wait));
            for _ in 0..=usize::from(extra) {
                assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(1), origin), Ok(()));
            }
        }
    }
}

#[test]
fn a_shop_full_of_terminals_shares_an_address() {
    let (pacing, clock) = pacing(SHIPPED);
    let origin = Some(IpAddr::from([10, 0, 0, 1]));
    for second in 0..120 {
        clock.advance(time::Duration::seconds(1));
        for terminal in 0..3_000_u32 {
            if (terminal + second) % 3 == 0 {
                assert_eq!(
                    pacing.admit_new_code(&DeviceId::from_bits(terminal), origin),
                    Ok(()),
                    "{terminal} at {second}"
                );
            }
        }
    }
}

#[test]
fn who_calls_too_often_waits_and_nobody_else_does() {
    let (pacing, clock) = pacing(SHIPPED);
    let (one, other) = (DeviceId::from_bits(1), DeviceId::from_bits(2));
    for _ in 0..20 {
        assert_eq!(pacing.admit_new_code(&one, None), Ok(()));
    }
    assert_eq!(pacing.admit_new_code(&one, None), Err(Duration::from_secs(1)));
    assert_eq!(pacing.admit_new_code(&other, None), Ok(()));
    clock.advance(time::Duration::seconds(1));
    assert_eq!(pacing.admit_new_code(&one, None), Ok(()));
    assert_eq!(pacing.admit_new_code(&one, None), Err(Duration::from_secs(1)));
}

#[test]
fn an_address_has_a_bound_of_its_own() {
    let pace = Pace { per_address: Rate { per_minute: 60, burst: 2 }, ..SHIPPED };
    let (pacing, _clock) = pacing(pace);
    let (here, there) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
    let told: Vec<_> = (0..3).map(|bits| pacing.admit_new_code(&DeviceId::from_bits(bits), here).is_ok()).collect();
    assert_eq!(told, [true, true, false]);
    assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(9), there), Ok(()));
}

#[test]
fn an_address_has_its_bound_from_many_threads() {
    let pace = Pace { per_address: Rate { per_minute: 1, burst: 2_000 }, ..SHIPPED };
    let (pacing, _clock) = pacing(pace);
    let shop = Some(IpAddr::from([10, 0, 0, 1]));
    let admitted = |thread: u32| {
        let ids = (0..1_000).map(|call| DeviceId::from_bits(thread * 1_000 + call));
        ids.filter(|id| pacing.admit_new_code(id, shop).is_ok()).count()
    };
    let all: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || admitted(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(all, 2_000);
}

#[test]
fn addresses_do_not_take_each_others_calls() {
    let pace = Pace { per_address: Rate { per_minute: 1, burst: 1_600 }, ..SHIPPED };
    let (pacing, _clock) = pacing(pace);
    let mut admitted = vec![0; 600];
    for call in 0..1_600 {
        for (shop, admitted) in (0_u32..).zip(&mut admitted) {
            let origin = Some(IpAddr::from(shop.to_be_bytes()));
            *admitted += u32::from(pacing.admit_new_code(&DeviceId::from_bits(call * 600 + shop), origin).is_ok());
        }
    }
    assert!(admitted.iter().all(|admitted| *admitted == 1_600), "{admitted:?}");
}

#[test]
fn who_calls_in_anothers_name_silences_only_themselves() {
    let (pacing, _clock) = pacing(SHIPPED);
    let device = DeviceId::from_bits(1);
    let (shop, thief) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
    assert!((0..100).any(|_| pacing.admit_new_code(&device, thief).is_err()));
    assert_eq!(pacing.admit_new_code(&device, shop), Ok(()));
}

#[test]
fn a_terminal_that_is_refused_costs_its_address_nothing() {
    let pace = Pace { per_address: Rate { per_minute: 60, burst: 30 }, ..SHIPPED };
    let (pacing, _clock) = pacing(pace);
    let shop = Some(IpAddr::from([10, 0, 0, 1]));
    let admitted = (0..1_000).filter(|_| pacing.admit_new_code(&DeviceId::from_bits(1), shop).is_ok()).count();
    assert_eq!(admitted, 20);
    assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(2), shop), Ok(()));
}

#[test]
fn addresses_of_one_ipv6_network_are_one() {
    let pace = Pace { per_address: Rate { per_minute: 60, burst: 2 }, ..SHIPPED };
    let (pacing, _clock) = pacing(pace);
    let of = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let told: Vec<_> = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]
        .iter()
        .zip(0..)
        .map(|(address, bits)| pacing.admit_new_code(&DeviceId::from_bits(bits), of(address)).is_ok())
        .collect();
    assert_eq!(told, [true, true, false, true]);
}

#[test]
fn no_rate_is_no_limit() {
    let none = Rate { per_minute: 0, burst: 0 };
    let (pacing, _clock) = pacing(Pace { per_device: none, per_address: none });
    assert!((0..10_000).all(|_| pacing.admit_new_code(&DeviceId::from_bits(1), None).is_ok()));
}

#[test]
fn those_who_were_quiet_are_forgotten() {
    let (pacing, clock) = pacing(SHIPPED);
    let devices = pacing.limiters.devices.as_ref().unwrap();
    for bits in 0..1_000 {
        assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
    }
    clock.advance(time::Duration::MINUTE);
    for call in 0..SWEEP_EVERY {
        clock.advance(time::Duration::milliseconds(i64::from(call % 2 == 0)));
        let _ = pacing.admit_new_code(&DeviceId::from_bits(5_000), None);
    }
    assert_eq!(devices.counters.len(), 1);
}

/// The only thread for such work is held up, so that what a sweep does can be told from what the call does.
#[test]
fn a_sweep_keeps_no_call_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (pacing, clock) = pacing(SHIPPED);
    let (release, held_up) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let holding = tokio::task::spawn_blocking(move || held_up.recv());
        for bits in 0..1_000 {
            assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
        }
        clock.advance(time::Duration::MINUTE);
        // Enough for two sweeps; the second finds the first still under way.
        for _ in 0..2 * SWEEP_EVERY {
            assert_eq!(pacing.admit(None), Ok(()));
        }
        let counters = || pacing.limiters.len();
        assert_eq!(counters(), 1_000, "no call has swept");
        drop(release);
        assert!(holding.await.unwrap().is_err());
        tokio::task::spawn_blocking(|| ()).await.unwrap();
        assert_eq!((counters(), pacing.limiters.sweeping.load(Ordering::Relaxed)), (0, false));
    });
}

/// What a sweep compares with to see that a storm is over, and to give its memory back.
#[test]
fn after_a_storm_a_sweep_no_longer_reckons_with_it() {
    let (pacing, clock) = pacing(SHIPPED);
    let call = |bits| pacing.admit_new_code(&DeviceId::from_bits(bits), None);
    let storm = u32::try_from(SWEEP_EVERY).unwrap();
    (0..storm).for_each(|bits| assert_eq!(call(bits), Ok(())));
    assert!(pacing.limiters.most.load(Ordering::Relaxed) > 60_000);
    clock.advance(time::Duration::MINUTE);
    for _ in 0..3 * SWEEP_EVERY {
        clock.advance(time::Duration::SECOND);
        assert_eq!(call(7), Ok(()));
    }
    assert_eq!(pacing.limiters.most.load(Ordering::Relaxed), 1);
}

#[test]
fn those_who_are_quiet_are_forgotten_when_asked_and_nobody_else() {
    let pace = Pace { per_device: Rate { per_minute: 1, burst: 2 }, ..SHIPPED };
    let (pacing, clock) = pacing(pace);
    for bits in 0..1_000 {
        assert_eq!(pacing.admit_new_code(&DeviceId::from_bits(bits), None), Ok(()));
    }
    clock.advance(time::Duration::minutes(2));
    assert!((0..3).any(|_| pacing.admit_new_code(&DeviceId::from_bits(7), None).is_err()));
    clock.advance(time::Duration::SECOND);
    pacing.forget_the_quiet();
    assert_eq!(pacing.limiters.devices.as_ref().unwrap().counters.len(), 1);
    assert!(pacing.admit_new_code(&DeviceId::from_bits(7), None).is_err(), "it is still held back");
}

#[test]
fn waits_are_spread() {
    let extremes = ScriptedEntropy::new([0, u32::MAX, 0, u32::MAX, 0, u32::MAX]);
    assert_eq!((within(PollWindow::PENDING, &extremes), within(PollWindow::PENDING, &extremes)), (3, 5));
    let two = Duration::from_secs(2);
    assert_eq!((spread_out(two, &extremes).as_secs(), spread_out(two, &extremes).as_secs()), (2, 3));
    let long = Duration::from_secs(300);
    assert_eq!((spread_out(long, &extremes).as_secs(), spread_out(long, &extremes).as_secs()), (300, 375));
}
