//! `audit` commands: verification and export of the audit trail.

use std::process::ExitCode;

use pos_application::audit::{AuditEntry, EventFault, TrailFault, VerifiedTrail};
use pos_application::fleet::VerifiedChains;
use pos_domain::audit::Subject;
use pos_domain::device::{ChainFault, DeviceEvent};
use pos_domain::shared::{AuditContext, DeviceId};
use pos_port_storage::audit::StoredAuditEvent;
use pos_port_storage::shared::TimeRange;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::device::device_id;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{Lines, note, out};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Page size of the export, in events.
const PAGE: u32 = 1_000;

/// Runs `audit …`.
pub(super) async fn run(settings: &Settings, what: cli::Audit) -> anyhow::Result<ExitCode> {
    ensure_schema(settings, false).await?;
    let admin = AdminUseCases::open(settings).await?;
    let parse = |id: Option<String>| id.as_deref().map(device_id).transpose();
    match what {
        cli::Audit::Verify { device, allow_unchained } => verify(&admin, parse(device)?, allow_unchained).await,
        cli::Audit::Export { since, until, device } => {
            let until = Some(until.unwrap_or_else(|| admin.clock.now()));
            export(&admin, TimeRange { since, until, device_id: parse(device)?, limit: PAGE }).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn verify(admin: &AdminUseCases, only: Option<DeviceId>, allow_unchained: bool) -> anyhow::Result<ExitCode> {
    let (mut sum, mut faults, mut after) = (VerifiedChains::default(), 0_u64, None);
    loop {
        let page = match &only {
            Some(id) => admin.use_cases.fleet.verify_chains.device(id).await?,
            None => admin.use_cases.fleet.verify_chains.page(after).await?,
        };
        sum.devices += page.devices;
        sum.events += page.events;
        sum.unchained += page.unchained;
        sum.purged += page.purged;
        for (id, link) in page.faults {
            if allow_unchained && link.fault == ChainFault::Unchained {
                sum.unchained += 1;
                continue;
            }
            faults += 1;
            out!("{id} {}: {}", link.sequence, link.fault)?;
        }
        after = page.last;
        if after.is_none() {
            break;
        }
        note!("{} devices verified", sum.devices);
    }
    if only.is_none() {
        faults += verify_trail(admin, allow_unchained).await?;
    }
    let VerifiedChains { devices, events, unchained, purged, .. } = sum;
    if purged > 0 {
        note!(
            "{purged} of the events were purged: only their number and their last digests can be verified; an older export has them"
        );
    }
    if unchained > 0 {
        note!("{unchained} of the events are older than their hash chains: only their number can be verified");
    }
    if faults > 0 {
        note!("{faults} faults in {devices} devices with {events} events");
        return Ok(ExitCode::FAILURE);
    }
    out!("no faults in {devices} devices with {events} events")?;
    Ok(ExitCode::SUCCESS)
}

/// Verifies the administrative events, prints each fault, and returns the number of faults.
async fn verify_trail(admin: &AdminUseCases, allow_unchained: bool) -> anyhow::Result<u64> {
    let (mut faults, mut allowed, mut failed) = (0_u64, 0_u64, Ok(()));
    let mut sink = |fault| {
        if allow_unchained && matches!(fault, TrailFault::Event { fault: EventFault::NoDigest, .. }) {
            allowed += 1;
            return;
        }
        faults += 1;
        if failed.is_ok() {
            failed = out!("{fault}");
        }
    };
    let VerifiedTrail { events, unchained, undigested, removed, rows } =
        admin.use_cases.audit.verify_trail.run(&mut sink).await?;
    failed?;
    note!("{events} administrative events and {rows} audited rows verified");
    if unchained > 0 {
        note!("{unchained} of these events have no checkpoint yet: a deletion among them would not be detected");
    }
    if undigested + allowed > 0 {
        note!(
            "{} of these events have no digest: changes before their checkpoint are not detected",
            undigested + allowed
        );
    }
    if removed > 0 {
        note!("{removed} administrative events were deleted after their retention; an older export has them");
    }
    Ok(faults)
}

async fn export(admin: &AdminUseCases, span: TimeRange) -> anyhow::Result<()> {
    let mut out = Lines::new();
    let mut entries = admin.use_cases.audit.export.begin(span);
    while let Some(entry) = entries.next().await? {
        let line = match &entry {
            AuditEntry::Device(event) => device_line(event)?,
            AuditEntry::Other(stored) => other_line(stored)?,
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
    line(event.at, &event.audit_context, event.kind.as_str(), more)
}

fn other_line(stored: &StoredAuditEvent) -> anyhow::Result<Value> {
    let event = &stored.event;
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
        "number": stored.number,
        "hash": stored.hash.map(|hash| hash.to_string()),
        "subject": event.subject.as_ref().map(Subject::to_string),
        "detail": event.detail,
    });
    line(event.at, &event.audit_context, event.kind.as_str(), more)
}

/// Builds a line: the fields that every line has, and `more`. Times have microseconds, because the digest covers them.
fn line(at: OffsetDateTime, audit_context: &AuditContext, kind: &str, more: Value) -> anyhow::Result<Value> {
    let mut line = json!({
        "at": at.format(&Rfc3339)?,
        "event": kind,
        "actor": audit_context.actor.to_string(),
        "client_ip": audit_context.client_ip.map(|client_ip| client_ip.to_string()),
        "trace_id": audit_context.trace_id.map(|trace_id| trace_id.to_string()),
    });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    Ok(line)
}
