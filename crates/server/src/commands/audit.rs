use std::process::ExitCode;

use pos_application::{AuditEntry, EventFault, TrailFault, VerifiedChains, VerifiedTrail};
use pos_domain::{Act, ChainFault, DeviceEvent, DeviceId, Subject};
use pos_port_storage::{KeptAuditEvent, Span};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::device::device_id;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{Lines, note, say};
use crate::settings::Settings;
use crate::wiring::Back;

/// How many events are read at once.
const PAGE: u32 = 1_000;

/// `audit …`: verifies the trail, or writes it out.
pub(super) async fn run(settings: &Settings, what: cli::Audit) -> anyhow::Result<ExitCode> {
    ensure_schema(settings, false).await?;
    let back = Back::open(settings).await?;
    let known = |id: Option<String>| id.as_deref().map(device_id).transpose();
    match what {
        cli::Audit::Verify { device, allow_unsealed } => verify(&back, known(device)?, allow_unsealed).await,
        cli::Audit::Export { since, until, device } => {
            let until = Some(until.unwrap_or_else(|| back.clock.now()));
            export(&back, Span { since, until, device_id: known(device)?, limit: PAGE }).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn verify(back: &Back, only: Option<DeviceId>, allow_unsealed: bool) -> anyhow::Result<ExitCode> {
    let (mut sum, mut faults, mut after) = (VerifiedChains::default(), 0_u64, None);
    loop {
        let page = match &only {
            Some(id) => back.verify.device(id).await?,
            None => back.verify.page(after).await?,
        };
        sum.devices += page.devices;
        sum.events += page.events;
        sum.unsealed += page.unsealed;
        sum.reclaimed += page.reclaimed;
        for (id, link) in page.faults {
            if allow_unsealed && link.fault == ChainFault::Unsealed {
                sum.unsealed += 1;
                continue;
            }
            faults += 1;
            say!("{id} {}: {}", link.sequence, link.fault)?;
        }
        after = page.last;
        if after.is_none() {
            break;
        }
        note!("{} devices verified", sum.devices);
    }
    if only.is_none() {
        faults += verify_trail(back, allow_unsealed).await?;
    }
    let VerifiedChains { devices, events, unsealed, reclaimed, .. } = sum;
    if reclaimed > 0 {
        note!(
            "{reclaimed} of the events were reclaimed: of these only the number and the last digests are left; an older export has them"
        );
    }
    if unsealed > 0 {
        note!("{unsealed} of the events are older than their chains: of these only the number is known to be right");
    }
    if faults > 0 {
        note!("{faults} faults in {devices} devices with {events} events");
        return Ok(ExitCode::FAILURE);
    }
    say!("nothing is wrong in {devices} devices with {events} events")?;
    Ok(ExitCode::SUCCESS)
}

/// Verifies the administrative half, prints each fault, and answers how many there are.
async fn verify_trail(back: &Back, allow_unsealed: bool) -> anyhow::Result<u64> {
    let (mut faults, mut allowed, mut failed) = (0_u64, 0_u64, Ok(()));
    let mut sink = |fault| {
        if allow_unsealed && matches!(fault, TrailFault::Event { fault: EventFault::NoDigest, .. }) {
            allowed += 1;
            return;
        }
        faults += 1;
        if failed.is_ok() {
            failed = say!("{fault}");
        }
    };
    let VerifiedTrail { events, unsealed, undigested, removed, rows } = back.verify_trail.run(&mut sink).await?;
    failed?;
    note!("{events} administrative events and {rows} rows of who may do what verified");
    if unsealed > 0 {
        note!("{unsealed} of these events are not sealed yet: that one of them is missing would not be noticed");
    }
    if undigested + allowed > 0 {
        note!(
            "{} of these events have no digest: what was done to them before they were sealed is not noticed",
            undigested + allowed
        );
    }
    if removed > 0 {
        note!("{removed} administrative events were removed after their retention; an older export has them");
    }
    Ok(faults)
}

async fn export(back: &Back, span: Span) -> anyhow::Result<()> {
    let mut out = Lines::new();
    let mut entries = back.export.begin(span);
    while let Some(entry) = entries.next().await? {
        let line = match &entry {
            AuditEntry::Device(event) => device_line(event)?,
            AuditEntry::Other(kept) => other_line(kept)?,
        };
        out.line(line)?;
    }
    Ok(out.finish()?)
}

fn device_line(event: &DeviceEvent) -> anyhow::Result<Value> {
    let more = json!({
        "merchant_id": event.merchant_id.to_string(),
        "device_id": event.device_id.as_str(),
        "sequence": event.sequence,
        "hash": event.hash.map(|hash| hash.to_string()),
    });
    line(event.at, &event.act, event.kind.as_str(), more)
}

fn other_line(kept: &KeptAuditEvent) -> anyhow::Result<Value> {
    let event = &kept.event;
    let device_id = match &event.subject {
        Some(Subject::Device(id)) => Some(id.as_str()),
        Some(
            Subject::Merchant(_) | Subject::Reseller(_) | Subject::Location(_) | Subject::User(_) | Subject::Client(_),
        )
        | None => None,
    };
    let more = json!({
        "merchant_id": event.merchant_id.map(|merchant| merchant.to_string()),
        "device_id": device_id,
        "number": kept.number,
        "hash": kept.hash.map(|hash| hash.to_string()),
        "subject": event.subject.as_ref().map(Subject::to_string),
        "detail": event.detail,
    });
    line(event.at, &event.act, event.kind.as_str(), more)
}

/// What every line has, and `more`. Instants to the microsecond, since a digest is of them.
fn line(at: OffsetDateTime, act: &Act, kind: &str, more: Value) -> anyhow::Result<Value> {
    let mut line = json!({
        "at": at.format(&Rfc3339)?,
        "event": kind,
        "actor": act.actor.to_string(),
        "origin": act.origin.map(|origin| origin.to_string()),
        "trace_id": act.trace_id.map(|trace_id| trace_id.to_string()),
    });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    Ok(line)
}
