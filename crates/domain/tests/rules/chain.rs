//! The chain of a device's events: one digest for one history, and every way to bend it is seen.

use std::collections::HashSet;

use pos_domain::{
    Act, Actor, CallContext, ChainCheck, ChainFault, ChainHead, Device, DeviceDetails, DeviceEvent, DeviceEventKind,
    DeviceId, EventAnchor, EventHash, MerchantId, SHORTEST_EVENT_RETENTION, TraceId, UserId, first_needed_event,
};
use time::Duration;

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, claimant, code, details};

const CONTEXT: CallContext = CallContext {
    origin: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7))),
    trace_id: Some(TraceId::LEAST),
};

/// A device with five events: provisioned, issued, claimed, activated, released.
fn history() -> (Device, Vec<DeviceEvent>) {
    let id = DeviceId::parse_new("POS-8F3A2C91").unwrap();
    let mut step = Device::provision(id, MERCHANT, DeviceDetails::default(), Act::operator(), START);
    let mut events = vec![step.event().clone()];
    let steps: [fn(Device) -> pos_domain::Transition; 4] = [
        |device| device.issue_pairing_code(code(1), TTL, CONTEXT, START).unwrap(),
        |device| device.claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap(),
        |device| device.activate(CONTEXT, START).unwrap(),
        |device| device.release(Act::operator(), START).unwrap(),
    ];
    for next in steps {
        step = next(step.into_device());
        events.push(step.event().clone());
    }
    (step.into_device(), events)
}

fn check(device: &Device, events: &[DeviceEvent]) -> (u64, Vec<(u64, ChainFault)>) {
    let mut check = ChainCheck::of(device);
    events.iter().for_each(|event| check.see(event));
    let (unsealed, faults) = check.finish();
    (unsealed, faults.into_iter().map(|link| (link.sequence, link.fault)).collect())
}

#[test]
fn a_history_as_it_was_written_has_no_fault() {
    let (device, events) = history();
    assert_eq!(check(&device, &events), (0, Vec::new()));
    assert_eq!(device.chain().map(|chain| chain.start), Some(1));
    assert_eq!(device.chain().map(|chain| chain.hash), events[4].hash);
}

#[test]
fn every_kind_of_change_is_a_link() {
    let (mut device, mut events) = history();
    let steps: [fn(Device) -> pos_domain::Transition; 3] = [
        |device| device.amend(details(), CONTEXT.by(Actor::IdentityProvider), START).unwrap(),
        |device| device.move_to(OTHER_MERCHANT, Act::operator(), START).unwrap(),
        |device| device.decommission(Act::operator(), START).unwrap(),
    ];
    for next in steps {
        let step = next(device);
        events.push(step.event().clone());
        device = step.into_device();
    }
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), DeviceEventKind::ALL);
    assert_eq!(check(&device, &events), (0, Vec::new()));
    events[6].merchant_id = MERCHANT;
    assert_eq!(check(&device, &events).1, [(7, ChainFault::Altered)], "where it moved to");
}

/// Were this to change, every stored chain would be broken: a new encoding needs another fixed text, and both readers.
#[test]
fn the_encoding_stays_as_it_is() {
    let (_, events) = history();
    assert_eq!(events[4].hash.unwrap().to_string(), "6d68b72053fc8dc32c01b2c60cd58004e8343c81aa26fb3c608a8c4f04262f15",);
}

#[test]
fn every_field_is_in_the_digest() {
    let (_, events) = history();
    let event = || events[2].clone();
    let act = |act: Act| DeviceEvent { act, ..event() };
    let user = |name: &str| Actor::User(UserId::parse(name).unwrap());
    let with_origin =
        |origin: Option<&str>| act(Act { origin: origin.map(|text| text.parse().unwrap()), ..event().act });
    let variants = [
        event(),
        DeviceEvent { device_id: DeviceId::parse("POS-8F3A2C92").unwrap(), ..event() },
        DeviceEvent { sequence: 4, ..event() },
        DeviceEvent { merchant_id: OTHER_MERCHANT, ..event() },
        DeviceEvent { merchant_id: MerchantId(uuid::Uuid::nil()), ..event() },
        DeviceEvent { at: START + Duration::microseconds(1), ..event() },
        DeviceEvent { kind: DeviceEventKind::Activated, ..event() },
        act(Act { actor: Actor::Operator, ..event().act }),
        act(Act { actor: Actor::IdentityProvider, ..event().act }),
        act(Act { actor: user("operator"), ..event().act }),
        act(Act { trace_id: None, ..event().act }),
        act(Act { trace_id: TraceId::from_bits(2), ..event().act }),
        with_origin(None),
        with_origin(Some("0.0.0.0")),
        with_origin(Some("::")),
        with_origin(Some("::ffff:198.51.100.7")),
    ];
    let links = |previous| variants.iter().map(move |event| event.link(previous)).collect::<HashSet<_>>();
    assert_eq!(links(None).len(), variants.len());
    let previous = |byte| Some(EventHash([byte; 32]));
    assert_eq!(
        links(None).union(&links(previous(0))).copied().collect::<HashSet<_>>().union(&links(previous(1))).count(),
        3 * variants.len()
    );
    let unlinked = DeviceEvent { hash: None, ..event() };
    assert_eq!(unlinked.link(None), event().link(None), "its own digest is not in it");
}

#[test]
fn whatever_is_bent_is_found_where_it_is() {
    use ChainFault::{Altered, BeforeStart, BeyondVersion, Head, Missing, Unsealed};
    type Bend = fn(&mut Vec<DeviceEvent>);
    type Case = (&'static str, Bend, Vec<(u64, ChainFault)>);
    let cases: Vec<Case> = vec![
        ("a field", |events| events[2].at += Duration::microseconds(1), vec![(3, Altered)]),
        ("the last event", |events| events[4].act.origin = CONTEXT.origin, vec![(5, Altered)]),
        ("a digest", |events| events[1].hash = events[0].hash, vec![(2, Altered), (3, Altered)]),
        ("a missing digest", |events| events[1].hash = None, vec![(2, Unsealed), (3, Altered)]),
        ("a middle event gone", |events| drop(events.remove(2)), vec![(3, Missing { through: 3 })]),
        ("two gone", |events| drop(events.drain(1..3)), vec![(2, Missing { through: 3 })]),
        ("the first gone", |events| drop(events.remove(0)), vec![(1, Missing { through: 1 })]),
        ("the last gone", |events| drop(events.pop()), vec![(5, Missing { through: 5 })]),
        ("all gone", |events| events.clear(), vec![(1, Missing { through: 5 })]),
        (
            "two swapped",
            |events| {
                events.swap(2, 3);
                (events[2].sequence, events[3].sequence) = (3, 4);
            },
            vec![(3, Altered), (4, Altered), (5, Altered)],
        ),
        (
            "one added",
            |events| {
                let mut more = DeviceEvent { sequence: 6, ..events[1].clone() };
                more.hash = Some(more.link(events[4].hash));
                events.push(more);
            },
            vec![(6, BeyondVersion)],
        ),
        (
            "all redone but the device",
            |events| {
                events[0].merchant_id = OTHER_MERCHANT;
                let mut previous = None;
                for event in events {
                    event.hash = Some(event.link(previous));
                    previous = event.hash;
                }
            },
            vec![(5, Head)],
        ),
    ];
    for (what, bend, expected) in cases {
        let (device, mut events) = history();
        bend(&mut events);
        assert_eq!(check(&device, &events).1, expected, "{what}");
    }
    let (device, events) = history();
    let shorter = Device::restore(pos_domain::DeviceRecord { version: 4, ..device.record() }).unwrap();
    assert_eq!(check(&shorter, &events[..4]).1, [(4, Head)], "the last gone, and the device says so");
    let chain = device.chain().map(|chain| ChainHead { start: 3, ..chain });
    let later = Device::restore(pos_domain::DeviceRecord { chain, ..device.record() }).unwrap();
    assert_eq!(check(&later, &events).1, [(1, BeforeStart), (2, BeforeStart)], "another start");
}

#[test]
fn a_device_older_than_chains_begins_one_with_its_next_change() {
    let (device, mut events) = history();
    let old = Device::restore(pos_domain::DeviceRecord { chain: None, ..device.record() }).unwrap();
    events.iter_mut().for_each(|event| event.hash = None);
    assert_eq!(check(&old, &events), (5, Vec::new()));
    let next = old.issue_pairing_code(code(2), TTL, CONTEXT, START).unwrap();
    assert_eq!(next.device().chain().map(|chain| chain.start), Some(6));
    events.push(next.event().clone());
    assert_eq!(check(next.device(), &events), (5, Vec::new()));
    assert_eq!(check(next.device(), &events[1..]).1, [(1, ChainFault::Missing { through: 1 })]);
    // A server of the version before writes on: its event is told, and the chain holds around it.
    let device = next.into_device();
    let unaware = DeviceEvent { sequence: 7, hash: None, ..events[5].clone() };
    events.push(unaware);
    let device = Device::restore(pos_domain::DeviceRecord { version: 7, ..device.record() }).unwrap();
    assert_eq!(check(&device, &events), (5, vec![(7, ChainFault::Unsealed)]));
    let next = device.issue_pairing_code(code(3), TTL, CONTEXT, START).unwrap();
    events.push(next.event().clone());
    assert_eq!(check(next.device(), &events), (5, vec![(7, ChainFault::Unsealed)]));
}

#[test]
fn the_row_of_a_device_must_agree_with_its_last_events() {
    let (device, events) = history();
    let moved = Device::restore(pos_domain::DeviceRecord { merchant_id: OTHER_MERCHANT, ..device.record() }).unwrap();
    assert_eq!(check(&moved, &events).1, [(5, ChainFault::Owner)]);
    let id = DeviceId::parse_new("POS-8F3A2C91").unwrap();
    let new = Device::provision(id, MERCHANT, DeviceDetails::default(), Act::operator(), START);
    let issued = new.clone().into_device().issue_pairing_code(code(1), TTL, CONTEXT, START).unwrap();
    let claimed = issued.clone().into_device().claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap();
    let events = [new.event().clone(), issued.event().clone(), claimed.event().clone()];
    let device = claimed.into_device();
    assert_eq!(check(&device, &events), (0, Vec::new()));
    let eve = UserId::parse("eve").unwrap();
    let hers = Device::restore(pos_domain::DeviceRecord { claimed_by: Some(eve), ..device.record() }).unwrap();
    assert_eq!(check(&hers, &events).1, [(3, ChainFault::ClaimedBy)]);
    let status = pos_domain::DeviceStatus::Activated;
    let ready = pos_domain::DeviceRecord { status, activated_at: Some(START), ..device.record() };
    assert_eq!(check(&Device::restore(ready).unwrap(), &events).1, [(3, ChainFault::Status)]);
}

fn check_after(device: &Device, through: u64, events: &[DeviceEvent]) -> Vec<(u64, ChainFault)> {
    let (_, all) = history();
    let hash = all.iter().take(usize::try_from(through).unwrap()).rev().find_map(|event| event.hash);
    let anchor = EventAnchor { device_id: device.id().clone(), through, hash };
    let now = START + SHORTEST_EVENT_RETENTION + Duration::days(2);
    let mut check = ChainCheck::of(device).after(&anchor, Some(now));
    events.iter().for_each(|event| check.see(event));
    check.finish().1.into_iter().map(|link| (link.sequence, link.fault)).collect()
}

#[test]
fn a_chain_goes_on_from_where_it_was_reclaimed() {
    let (device, events) = history();
    for through in 1..5_u64 {
        let kept = &events[usize::try_from(through).unwrap()..];
        assert_eq!(check_after(&device, through, kept), [], "through {through}");
        let mut bent = kept.to_vec();
        bent[0].merchant_id = OTHER_MERCHANT;
        assert_eq!(
            check_after(&device, through, &bent),
            [(through + 1, ChainFault::Altered)],
            "the first that is left"
        );
    }
}

#[test]
fn an_anchor_that_says_too_much_or_too_little_is_a_fault() {
    let (device, events) = history();
    assert_eq!(check_after(&device, 2, &events[3..]), [(3, ChainFault::Missing { through: 3 })]);
    assert_eq!(
        check_after(&device, 3, &events[2..]),
        [(3, ChainFault::Returned)],
        "it was put back, or the anchor was moved"
    );
    assert_eq!(check_after(&device, 5, &[]), [(5, ChainFault::Missing { through: 5 })], "the last is never reclaimed");
    assert_eq!(check_after(&device, u64::MAX, &[]), [(5, ChainFault::Missing { through: 5 })]);
    let wrong = EventAnchor { device_id: device.id().clone(), through: 2, hash: events[0].hash };
    let mut check = ChainCheck::of(&device).after(&wrong, None);
    events[2..].iter().for_each(|event| check.see(event));
    assert_eq!(check.finish().1.first().map(|link| (link.sequence, link.fault)), Some((3, ChainFault::Altered)));
}

/// Who may write to the database can move an anchor and its hash, but not make young events old: their instants are in
/// the chain.
#[test]
fn events_that_are_gone_too_early_are_a_fault() {
    let (device, events) = history();
    let anchor = EventAnchor { device_id: device.id().clone(), through: 3, hash: events[2].hash };
    for (age, found) in [
        (SHORTEST_EVENT_RETENTION, None),
        (SHORTEST_EVENT_RETENTION - Duration::days(1), Some((4, ChainFault::TooEarly))),
        (Duration::ZERO, Some((4, ChainFault::TooEarly))),
    ] {
        let now = START + age + if found.is_none() { Duration::days(1) } else { Duration::ZERO };
        let mut check = ChainCheck::of(&device).after(&anchor, Some(now));
        events[3..].iter().for_each(|event| check.see(event));
        let faults: Vec<_> = check.finish().1.into_iter().map(|link| (link.sequence, link.fault)).collect();
        assert_eq!(faults, found.into_iter().collect::<Vec<_>>(), "{age}");
    }
}

#[test]
fn what_a_state_stands_on_is_needed() {
    use pos_domain::DeviceStatus::{Activated, Claimed, Decommissioned, Inactive};
    for (status, claim, first) in [
        (Inactive, Some(3), 9),
        (Decommissioned, Some(3), 9),
        (Claimed, Some(8), 8),
        (Activated, Some(7), 7),
        (Claimed, None, 1),
    ] {
        assert_eq!(first_needed_event(status, 9, claim), first, "{status:?} {claim:?}");
    }
}
