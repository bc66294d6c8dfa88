//! Final audit of the database: consistency of its rows, and presence of every acknowledged change.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::db_snapshot::{DbSnapshot, Event, Row};
use crate::fleet::Acknowledged;
use crate::model::{State, Status};
use crate::scenario::ScenarioContext;
use crate::time::now;

/// Checks the whole snapshot and records violations.
pub(crate) fn check(snapshot: &DbSnapshot, context: &ScenarioContext) {
    let history = &context.history;
    let mut wrong = check_consistency(snapshot);
    wrong.extend(check_acknowledged(snapshot, &context.fleet.acknowledged()));
    for what in wrong {
        history.violation(what, Vec::new());
    }
    let devices = context.fleet.all_devices();
    let (mut abandoned, now) = (0, now());
    for device in &devices {
        let Some(row) = snapshot.devices.get(&device.id) else {
            history.violation(format!("{} is not in the database", device.id), Vec::new());
            continue;
        };
        let mut checker = device.checker();
        abandoned += usize::from(checker.is_abandoned());
        if !checker.may_end_as(|state| matches_row(state, row), now) {
            let what = format!("{} ended as {}, which contradicts its responses", device.id, row.status);
            history.violation(what, checker.recent_calls());
        }
    }
    if abandoned * 20 > devices.len() {
        let what = format!("{abandoned} of {} devices were not checked to the end", devices.len());
        history.violation(what, Vec::new());
    }
    let events: usize = snapshot.events.values().map(Vec::len).sum();
    history.note(format!(
        "in the database: {} devices, {events} events, {} past codes; {abandoned} devices were not checked to the end",
        snapshot.devices.len(),
        snapshot.past_codes.len()
    ));
}

fn matches_row(state: &State, row: &Row) -> bool {
    match state.status {
        Status::Inactive(code) => row.status == "inactive" && row.code.is_some() == code.is_some(),
        Status::Claimed(_) => row.status == "claimed",
        Status::Decommissioned => row.status == "decommissioned",
    }
}

/// Checks that each device's events are a valid lifecycle that ends in the device's status, and that each code ended once.
fn check_consistency(snapshot: &DbSnapshot) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ends: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (device, code, ended_as) in &snapshot.past_codes {
        let (superseded, accepted) = ends.entry(device).or_default();
        if ended_as == "used" {
            *accepted += 1;
            if !used.insert((device, code)) {
                wrong.push(format!("{device}: one code accepted twice"));
            }
        } else {
            *superseded += 1;
        }
    }
    for (id, row) in &snapshot.devices {
        let events = snapshot.events.get(id).map(Vec::as_slice).unwrap_or_default();
        if let Some(why) = check_lifecycle(events, row) {
            wrong.push(format!("{id}: {why}"));
        }
        let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
        let (superseded, accepted) = ends.get(id.as_str()).copied().unwrap_or_default();
        let (claimed, current) = (usize::from(row.status == "claimed"), usize::from(row.code.is_some()));
        if superseded + accepted + current != count("pairing_code_issued") {
            wrong.push(format!(
                "{id}: {} codes issued, and {} known",
                count("pairing_code_issued"),
                superseded + accepted + current
            ));
        }
        if accepted + claimed != count("claimed") {
            wrong.push(format!("{id}: {} claims, and {} codes accepted", count("claimed"), accepted + claimed));
        }
        if claimed == 1 && row.code.as_ref().is_some_and(|code| used.contains(&(id.as_str(), code.as_str()))) {
            wrong.push(format!("{id}: one code accepted twice, and current again"));
        }
    }
    wrong
}

/// Replays a device's events. Returns the first error.
fn check_lifecycle(events: &[Event], row: &Row) -> Option<String> {
    let (mut status, mut has_code) = ("", false);
    for (sequence, event) in (1..).zip(events) {
        if event.sequence != sequence {
            return Some(format!("event {sequence} is missing"));
        }
        let (from, to, code) = match event.kind.as_str() {
            "provisioned" => ("", "inactive", false),
            "pairing_code_issued" => ("inactive", "inactive", true),
            "claimed" if !has_code => return Some(format!("event {sequence}: claimed without a code")),
            "claimed" => ("inactive", "claimed", true),
            "released" => ("claimed", "inactive", false),
            "decommissioned" => (status, "decommissioned", false),
            other => return Some(format!("event {sequence}: unexpected {other}")),
        };
        if status != from || status == "decommissioned" {
            return Some(format!("event {sequence}: {} while {status}", event.kind));
        }
        (status, has_code) = (to, code);
    }
    if i64::try_from(events.len()) != Ok(row.version) {
        return Some(format!("version {} after {} events", row.version, events.len()));
    }
    ((status, has_code) != (row.status.as_str(), row.code.is_some()))
        .then(|| format!("status {}, but {status} by its events", row.status))
}

/// Checks that every acknowledged change is in the database, and that nothing was created twice.
fn check_acknowledged(snapshot: &DbSnapshot, acknowledged: &Acknowledged) -> Vec<String> {
    let mut wrong = Vec::new();
    let current = snapshot.devices.iter().filter_map(|(id, row)| Some((id.as_str(), row.code.as_deref()?)));
    let past = snapshot.past_codes.iter().map(|(id, code, _)| (id.as_str(), code.as_str()));
    let codes: HashSet<(&str, &str)> = current.chain(past).collect();
    for (code, devices) in &acknowledged.codes {
        for device in devices {
            if !codes.contains(&(device.as_str(), code.as_str())) {
                wrong.push(format!("{device}: an issued code is not in the database"));
            }
        }
    }
    for (device, kind, trace_id) in &acknowledged.changes {
        let events = snapshot.events.get(device).map(Vec::as_slice).unwrap_or_default();
        let is_its = |event: &&Event| event.kind == *kind && event.trace_id.as_deref() == Some(trace_id);
        let count = events.iter().filter(is_its).count();
        if count != 1 {
            wrong.push(format!("{device}: acknowledged as {kind} (trace {trace_id}), but has {count} such events"));
        }
    }
    for id in acknowledged.imported.iter().filter(|id| !snapshot.devices.contains_key(*id)) {
        wrong.push(format!("{id} was imported, but is not in the database"));
    }
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, row) in &snapshot.devices {
        if let Some(label) = &row.label {
            labels.entry(label).or_default().push(id);
        }
    }
    for (label, acknowledged_id) in &acknowledged.created {
        let created = labels.get(label.as_str()).map(Vec::as_slice).unwrap_or_default();
        let is_correct = match acknowledged_id {
            Some(id) => created == [id.as_str()],
            None => created.len() <= 1,
        };
        if !is_correct {
            wrong.push(format!("one creation request: acknowledged {acknowledged_id:?}, created {created:?}"));
        }
    }
    wrong
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
