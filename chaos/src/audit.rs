//! Whether the database holds what was promised, and holds together.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::act::Stage;
use crate::fleet::Promises;
use crate::found::{Event, Found, Row};
use crate::model::{Standing, State};
use crate::time::now;

/// Looks at everything and enters what is wrong.
pub(crate) fn check(found: &Found, stage: &Stage) {
    let ledger = &stage.ledger;
    let mut wrong = history(found);
    wrong.extend(kept(found, &stage.fleet.promises()));
    for what in wrong {
        ledger.violation(what, Vec::new());
    }
    let devices = stage.fleet.everything();
    let (mut given_up, now) = (0, now());
    for device in &devices {
        let Some(row) = found.devices.get(&device.id) else {
            ledger.violation(format!("{} is not in the database", device.id), Vec::new());
            continue;
        };
        let mut checker = device.checker();
        given_up += usize::from(checker.given_up().is_some());
        if !checker.may_be(|state| is(state, row), now) {
            let what = format!("{} ended as {}, which its answers exclude", device.id, row.status);
            ledger.violation(what, checker.history());
        }
    }
    if given_up * 20 > devices.len() {
        let what = format!("{given_up} of {} devices were not checked to the end", devices.len());
        ledger.violation(what, Vec::new());
    }
    let events: usize = found.events.values().map(Vec::len).sum();
    ledger.note(format!(
        "in the database: {} devices, {events} events, {} codes that ended; {given_up} devices were not checked to the end",
        found.devices.len(),
        found.ended.len()
    ));
}

fn is(state: &State, row: &Row) -> bool {
    match state.now {
        Standing::Inactive(code) => row.status == "inactive" && row.code.is_some() == code.is_some(),
        Standing::Claimed(_) => row.status == "claimed",
        Standing::Decommissioned => row.status == "decommissioned",
    }
}

/// Faults that need no promise to be seen: each device's events make a life that the rules allow and that ends as the
/// device stands, and each code ended once.
fn history(found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ends: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (device, code, ended_as) in &found.ended {
        let (retired, accepted) = ends.entry(device).or_default();
        if ended_as == "used" {
            *accepted += 1;
            if !used.insert((device, code)) {
                wrong.push(format!("{device}: one code accepted twice"));
            }
        } else {
            *retired += 1;
        }
    }
    for (id, row) in &found.devices {
        let events = found.events.get(id).map(Vec::as_slice).unwrap_or_default();
        if let Some(why) = life(events, row) {
            wrong.push(format!("{id}: {why}"));
        }
        let count = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
        let (retired, accepted) = ends.get(id.as_str()).copied().unwrap_or_default();
        let (claimed, current) = (usize::from(row.status == "claimed"), usize::from(row.code.is_some()));
        if retired + accepted + current != count("pairing_code_issued") {
            wrong.push(format!(
                "{id}: {} codes issued, and {} known",
                count("pairing_code_issued"),
                retired + accepted + current
            ));
        }
        if accepted + claimed != count("claimed") {
            wrong.push(format!("{id}: {} claims, and {} codes accepted", count("claimed"), accepted + claimed));
        }
        if claimed == 1 && row.code.as_ref().is_some_and(|code| used.contains(&(id.as_str(), code.as_str()))) {
            wrong.push(format!("{id}: one code accepted twice, the second time in force"));
        }
    }
    wrong
}

/// Walks through a device's events; what is wrong with them, if anything.
fn life(events: &[Event], row: &Row) -> Option<String> {
    let (mut status, mut has_code) = ("", false);
    for (place, event) in (1..).zip(events) {
        if event.sequence != place {
            return Some(format!("event {place} is missing"));
        }
        let (from, to, code) = match event.kind.as_str() {
            "provisioned" => ("", "inactive", false),
            "pairing_code_issued" => ("inactive", "inactive", true),
            "claimed" if !has_code => return Some(format!("event {place}: claimed without a code")),
            "claimed" => ("inactive", "claimed", true),
            "released" => ("claimed", "inactive", false),
            "decommissioned" => (status, "decommissioned", false),
            other => return Some(format!("event {place}: {other}, which nobody asked for")),
        };
        if status != from || status == "decommissioned" {
            return Some(format!("event {place}: {} while {status}", event.kind));
        }
        (status, has_code) = (to, code);
    }
    if i64::try_from(events.len()) != Ok(row.version) {
        return Some(format!("version {} after {} events", row.version, events.len()));
    }
    ((status, has_code) != (row.status.as_str(), row.code.is_some()))
        .then(|| format!("{} in the end, and {status} by its events", row.status))
}

/// Promises that were not kept: answered successes that are not in the database, and things created twice.
fn kept(found: &Found, promises: &Promises) -> Vec<String> {
    let mut wrong = Vec::new();
    let current = found.devices.iter().filter_map(|(id, row)| Some((id.as_str(), row.code.as_deref()?)));
    let ended = found.ended.iter().map(|(id, code, _)| (id.as_str(), code.as_str()));
    let codes: HashSet<(&str, &str)> = current.chain(ended).collect();
    for (code, devices) in &promises.codes {
        for device in devices {
            if !codes.contains(&(device.as_str(), code.as_str())) {
                wrong.push(format!("{device}: a code that was given out is not in the database"));
            }
        }
    }
    for (device, kind, trace_id) in &promises.changes {
        let events = found.events.get(device).map(Vec::as_slice).unwrap_or_default();
        let of_it = |event: &&Event| event.kind == *kind && event.trace_id.as_deref() == Some(trace_id);
        let count = events.iter().filter(of_it).count();
        if count != 1 {
            wrong.push(format!("{device}: answered as {kind} (trace {trace_id}), and {count} events say so"));
        }
    }
    for id in promises.imported.iter().filter(|id| !found.devices.contains_key(*id)) {
        wrong.push(format!("{id} was imported, and is not in the database"));
    }
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, row) in &found.devices {
        if let Some(label) = &row.label {
            labels.entry(label).or_default().push(id);
        }
    }
    for (label, answered) in &promises.created {
        let made = labels.get(label.as_str()).map(Vec::as_slice).unwrap_or_default();
        let is_well = match answered {
            Some(id) => made == [id.as_str()],
            None => made.len() <= 1,
        };
        if !is_well {
            wrong.push(format!("one creating call: answered {answered:?}, made {made:?}"));
        }
    }
    wrong
}

#[cfg(test)]
#[path = "audit_tests.rs"]
mod tests;
