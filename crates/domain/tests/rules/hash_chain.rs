//! Tests of the hash chain over a device's events: a stable encoding, and detection of every kind of tampering.

use std::collections::HashSet;

use pos_domain::device::{
    ChainCheckpoint, ChainFault, ChainTip, ChainVerifier, Device, DeviceDetails, DeviceEvent, DeviceEventKind,
    SHORTEST_EVENT_RETENTION, first_needed_event,
};
use pos_domain::shared::{Actor, AuditContext, DeviceId, EventHash, MerchantId, RequestContext, TraceId, UserId};
use time::Duration;

use crate::{MERCHANT, OTHER_MERCHANT, START, TTL, claimant, code, details};

const CONTEXT: RequestContext = RequestContext {
    client_ip: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7))),
    trace_id: Some(TraceId::LEAST),
};

/// A device with five events: provisioned, issued, claimed, activated, released.
fn history() -> (Device, Vec<DeviceEvent>) {
    let id = DeviceId::parse_new("POS-8F3A2C91").unwrap();
    let mut step = Device::provision(id, MERCHANT, DeviceDetails::default(), AuditContext::operator(), START);
    let mut events = vec![step.event().clone()];
    let steps: [fn(Device) -> pos_domain::device::Transition; 4] = [
        |device| device.issue_pairing_code(code(1), TTL, CONTEXT, START).unwrap(),
        |device| device.claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap(),
        |device| device.activate(CONTEXT, START).unwrap(),
        |device| device.release(AuditContext::operator(), START).unwrap(),
    ];
    for next in steps {
        step = next(step.into_device());
        events.push(step.event().clone());
    }
    (step.into_device(), events)
}

fn check(device: &Device, events: &[DeviceEvent]) -> (u64, Vec<(u64, ChainFault)>) {
    let mut check = ChainVerifier::of(device);
    events.iter().for_each(|event| check.see(event));
    let (unchained, faults) = check.finish();
    (unchained, faults.into_iter().map(|link| (link.sequence, link.fault)).collect())
}

#[test]
fn an_unmodified_history_has_no_fault() {
    let (device, events) = history();
    assert_eq!(check(&device, &events), (0, Vec::new()));
    assert_eq!(device.chain().map(|chain| chain.start), Some(1));
    assert_eq!(device.chain().map(|chain| chain.hash), events[4].hash);
}

#[test]
fn every_kind_of_event_is_chained() {
    let (mut device, mut events) = history();
    let steps: [fn(Device) -> pos_domain::device::Transition; 3] = [
        |device| device.update(details(), CONTEXT.with_actor(Actor::IdentityProvider), START).unwrap(),
        |device| device.transfer_to(OTHER_MERCHANT, AuditContext::operator(), START).unwrap(),
        |device| device.decommission(AuditContext::operator(), START).unwrap(),
    ];
    for next in steps {
        let step = next(device);
        events.push(step.event().clone());
        device = step.into_device();
    }
    assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), DeviceEventKind::ALL);
    assert_eq!(check(&device, &events), (0, Vec::new()));
    events[6].merchant_id = MERCHANT;
    assert_eq!(check(&device, &events).1, [(7, ChainFault::Altered)], "the merchant it was transferred to");
}

/// A change of this digest would invalidate every stored chain. A new encoding needs another fixed text, and code that
/// verifies both.
#[test]
fn the_encoding_is_stable() {
    let (_, events) = history();
    assert_eq!(events[4].hash.unwrap().to_string(), "6d68b72053fc8dc32c01b2c60cd58004e8343c81aa26fb3c608a8c4f04262f15",);
}

#[test]
fn every_field_is_in_the_digest() {
    let (_, events) = history();
    let event = || events[2].clone();
    let with_context = |audit_context: AuditContext| DeviceEvent { audit_context, ..event() };
    let user = |name: &str| Actor::User(UserId::parse(name).unwrap());
    let with_origin = |client_ip: Option<&str>| {
        with_context(AuditContext { client_ip: client_ip.map(|text| text.parse().unwrap()), ..event().audit_context })
    };
    let variants = [
        event(),
        DeviceEvent { device_id: DeviceId::parse("POS-8F3A2C92").unwrap(), ..event() },
        DeviceEvent { sequence: 4, ..event() },
        DeviceEvent { merchant_id: OTHER_MERCHANT, ..event() },
        DeviceEvent { merchant_id: MerchantId(uuid::Uuid::nil()), ..event() },
        DeviceEvent { at: START + Duration::microseconds(1), ..event() },
        DeviceEvent { kind: DeviceEventKind::Activated, ..event() },
        with_context(AuditContext { actor: Actor::Operator, ..event().audit_context }),
        with_context(AuditContext { actor: Actor::IdentityProvider, ..event().audit_context }),
        with_context(AuditContext { actor: user("operator"), ..event().audit_context }),
        with_context(AuditContext { trace_id: None, ..event().audit_context }),
        with_context(AuditContext { trace_id: TraceId::from_bits(2), ..event().audit_context }),
        with_origin(None),
        with_origin(Some("0.0.0.0")),
        with_origin(Some("::")),
        with_origin(Some("::ffff:198.51.100.7")),
    ];
    let hashes = |previous| variants.iter().map(move |event| event.chain_hash(previous)).collect::<HashSet<_>>();
    assert_eq!(hashes(None).len(), variants.len());
    let previous = |byte| Some(EventHash([byte; 32]));
    assert_eq!(
        hashes(None).union(&hashes(previous(0))).copied().collect::<HashSet<_>>().union(&hashes(previous(1))).count(),
        3 * variants.len()
    );
    let without_hash = DeviceEvent { hash: None, ..event() };
    assert_eq!(without_hash.chain_hash(None), event().chain_hash(None), "its own digest is not included");
}

#[test]
fn tampering_is_reported_at_its_sequence() {
    use ChainFault::{Altered, BeforeStart, BeyondVersion, Head, Missing, Unchained};
    type Tamper = fn(&mut Vec<DeviceEvent>);
    type Case = (&'static str, Tamper, Vec<(u64, ChainFault)>);
    let cases: Vec<Case> = vec![
        ("a field", |events| events[2].at += Duration::microseconds(1), vec![(3, Altered)]),
        ("the last event", |events| events[4].audit_context.client_ip = CONTEXT.client_ip, vec![(5, Altered)]),
        ("a digest", |events| events[1].hash = events[0].hash, vec![(2, Altered), (3, Altered)]),
        ("a missing digest", |events| events[1].hash = None, vec![(2, Unchained), (3, Altered)]),
        ("a middle event missing", |events| drop(events.remove(2)), vec![(3, Missing { through: 3 })]),
        ("two missing", |events| drop(events.drain(1..3)), vec![(2, Missing { through: 3 })]),
        ("the first missing", |events| drop(events.remove(0)), vec![(1, Missing { through: 1 })]),
        ("the last missing", |events| drop(events.pop()), vec![(5, Missing { through: 5 })]),
        ("all missing", |events| events.clear(), vec![(1, Missing { through: 5 })]),
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
                more.hash = Some(more.chain_hash(events[4].hash));
                events.push(more);
            },
            vec![(6, BeyondVersion)],
        ),
        (
            "all recomputed except the device's digest",
            |events| {
                events[0].merchant_id = OTHER_MERCHANT;
                let mut previous = None;
                for event in events {
                    event.hash = Some(event.chain_hash(previous));
                    previous = event.hash;
                }
            },
            vec![(5, Head)],
        ),
    ];
    for (what, tamper, expected) in cases {
        let (device, mut events) = history();
        tamper(&mut events);
        assert_eq!(check(&device, &events).1, expected, "{what}");
    }
    let (device, events) = history();
    let shorter = Device::restore(pos_domain::device::DeviceRecord { version: 4, ..device.record() }).unwrap();
    assert_eq!(check(&shorter, &events[..4]).1, [(4, Head)], "the last missing, and the device's version lowered");
    let chain = device.chain().map(|chain| ChainTip { start: 3, ..chain });
    let later = Device::restore(pos_domain::device::DeviceRecord { chain, ..device.record() }).unwrap();
    assert_eq!(check(&later, &events).1, [(1, BeforeStart), (2, BeforeStart)], "another start of the chain");
}

#[test]
fn a_device_without_a_chain_starts_one_with_its_next_change() {
    let (device, mut events) = history();
    let old = Device::restore(pos_domain::device::DeviceRecord { chain: None, ..device.record() }).unwrap();
    events.iter_mut().for_each(|event| event.hash = None);
    assert_eq!(check(&old, &events), (5, Vec::new()));
    let next = old.issue_pairing_code(code(2), TTL, CONTEXT, START).unwrap();
    assert_eq!(next.device().chain().map(|chain| chain.start), Some(6));
    events.push(next.event().clone());
    assert_eq!(check(next.device(), &events), (5, Vec::new()));
    assert_eq!(check(next.device(), &events[1..]).1, [(1, ChainFault::Missing { through: 1 })]);
    // A server version without chains writes an event: it is reported, and the chain continues around it.
    let device = next.into_device();
    let without_hash = DeviceEvent { sequence: 7, hash: None, ..events[5].clone() };
    events.push(without_hash);
    let device = Device::restore(pos_domain::device::DeviceRecord { version: 7, ..device.record() }).unwrap();
    assert_eq!(check(&device, &events), (5, vec![(7, ChainFault::Unchained)]));
    let next = device.issue_pairing_code(code(3), TTL, CONTEXT, START).unwrap();
    events.push(next.event().clone());
    assert_eq!(check(next.device(), &events), (5, vec![(7, ChainFault::Unchained)]));
}

#[test]
fn a_device_row_must_match_its_last_events() {
    let (device, events) = history();
    let other_owner = pos_domain::device::DeviceRecord { merchant_id: OTHER_MERCHANT, ..device.record() };
    let transferred = Device::restore(other_owner).unwrap();
    assert_eq!(check(&transferred, &events).1, [(5, ChainFault::Owner)]);
    let id = DeviceId::parse_new("POS-8F3A2C91").unwrap();
    let new = Device::provision(id, MERCHANT, DeviceDetails::default(), AuditContext::operator(), START);
    let issued = new.clone().into_device().issue_pairing_code(code(1), TTL, CONTEXT, START).unwrap();
    let claimed = issued.clone().into_device().claim(code(1), &claimant(MERCHANT), CONTEXT, START).unwrap();
    let events = [new.event().clone(), issued.event().clone(), claimed.event().clone()];
    let device = claimed.into_device();
    assert_eq!(check(&device, &events), (0, Vec::new()));
    let eve = UserId::parse("eve").unwrap();
    let claimed_by_eve = pos_domain::device::DeviceRecord { claimed_by: Some(eve), ..device.record() };
    assert_eq!(check(&Device::restore(claimed_by_eve).unwrap(), &events).1, [(3, ChainFault::ClaimedBy)]);
    let status = pos_domain::device::DeviceStatus::Activated;
    let activated = pos_domain::device::DeviceRecord { status, activated_at: Some(START), ..device.record() };
    assert_eq!(check(&Device::restore(activated).unwrap(), &events).1, [(3, ChainFault::Status)]);
}

fn check_after(device: &Device, through: u64, events: &[DeviceEvent]) -> Vec<(u64, ChainFault)> {
    let (_, all) = history();
    let hash = all.iter().take(usize::try_from(through).unwrap()).rev().find_map(|event| event.hash);
    let chain_checkpoint = ChainCheckpoint { device_id: device.id().clone(), through, hash };
    let now = START + SHORTEST_EVENT_RETENTION + Duration::days(2);
    let mut check = ChainVerifier::of(device).after(&chain_checkpoint, Some(now));
    events.iter().for_each(|event| check.see(event));
    check.finish().1.into_iter().map(|link| (link.sequence, link.fault)).collect()
}

#[test]
fn a_chain_continues_after_a_purge() {
    let (device, events) = history();
    for through in 1..5_u64 {
        let remaining = &events[usize::try_from(through).unwrap()..];
        assert_eq!(check_after(&device, through, remaining), [], "through {through}");
        let mut tampered = remaining.to_vec();
        tampered[0].merchant_id = OTHER_MERCHANT;
        assert_eq!(
            check_after(&device, through, &tampered),
            [(through + 1, ChainFault::Altered)],
            "the first remaining event"
        );
    }
}

#[test]
fn a_checkpoint_with_a_wrong_sequence_or_hash_is_a_fault() {
    let (device, events) = history();
    assert_eq!(check_after(&device, 2, &events[3..]), [(3, ChainFault::Missing { through: 3 })]);
    assert_eq!(
        check_after(&device, 3, &events[2..]),
        [(3, ChainFault::Returned)],
        "it was restored, or the checkpoint was moved"
    );
    assert_eq!(check_after(&device, 5, &[]), [(5, ChainFault::Missing { through: 5 })], "the last is never purged");
    assert_eq!(check_after(&device, u64::MAX, &[]), [(5, ChainFault::Missing { through: 5 })]);
    let wrong = ChainCheckpoint { device_id: device.id().clone(), through: 2, hash: events[0].hash };
    let mut check = ChainVerifier::of(&device).after(&wrong, None);
    events[2..].iter().for_each(|event| check.see(event));
    assert_eq!(check.finish().1.first().map(|link| (link.sequence, link.fault)), Some((3, ChainFault::Altered)));
}

/// A writer with database access can move a checkpoint and its hash, but cannot make young events old: their instants
/// are part of the chain.
#[test]
fn events_that_were_deleted_too_early_are_a_fault() {
    let (device, events) = history();
    let chain_checkpoint = ChainCheckpoint { device_id: device.id().clone(), through: 3, hash: events[2].hash };
    for (age, found) in [
        (SHORTEST_EVENT_RETENTION, None),
        (SHORTEST_EVENT_RETENTION - Duration::days(1), Some((4, ChainFault::TooEarly))),
        (Duration::ZERO, Some((4, ChainFault::TooEarly))),
    ] {
        let now = START + age + if found.is_none() { Duration::days(1) } else { Duration::ZERO };
        let mut check = ChainVerifier::of(&device).after(&chain_checkpoint, Some(now));
        events[3..].iter().for_each(|event| check.see(event));
        let faults: Vec<_> = check.finish().1.into_iter().map(|link| (link.sequence, link.fault)).collect();
        assert_eq!(faults, found.into_iter().collect::<Vec<_>>(), "{age}");
    }
}

#[test]
fn the_first_needed_event_depends_on_the_status() {
    use pos_domain::device::DeviceStatus::{Activated, Claimed, Decommissioned, Inactive};
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
