//! `device` commands: provisioning and administration of devices.

use std::process::ExitCode;

use anyhow::Context as _;
use pos_application::fleet::{DetailsPatch, NewDevice};
use pos_application::support::{Authorization, FleetError, MerchantAuthorization};
use pos_domain::device::{Device, DeviceDetails, DeviceEvent, DeviceState};
use pos_domain::shared::{AuditContext, DeviceId, LocationId, MerchantId, Name, Party, Scope};
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::fleet::DevicePage;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::confirmation;
use super::import;
use super::listing;
use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{Lines, confirm, note, out};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Number of devices that are provisioned without confirmation.
const MAX_UNCONFIRMED: u32 = 1_000;

/// Runs `device …`.
pub(super) async fn run(settings: &Settings, what: cli::Device) -> anyhow::Result<ExitCode> {
    if let cli::Device::Add { merchant, count, yes, .. } = &what
        && *count > MAX_UNCONFIRMED
    {
        let question = format!(
            "Provision {count} devices for merchant {merchant}? They can be decommissioned one by one, but never deleted."
        );
        confirmation::require(&question, *yes)?;
    }
    ensure_schema(settings, true).await?;
    let admin = AdminUseCases::open(settings).await?;
    let operator = Authorization::operator();
    let done = match what {
        cli::Device::Import(how) => return import::run(&admin, &how).await,
        cli::Device::Add { merchant, device_id: Some(id), .. } => add_named(&admin, &id, merchant).await,
        cli::Device::Add { merchant, device_id: None, count, .. } => add_some(&admin, count as usize, merchant).await,
        cli::Device::List { merchant, after, limit, json } => {
            let after = after.as_deref().map(device_id).transpose()?;
            let page = DevicePage {
                merchant_id: merchant.map(MerchantId),
                after,
                ..DevicePage::first(Scope::Operator, limit)
            };
            list(&admin, page, json).await
        }
        cli::Device::Show { device_id: id, json } => show(&admin, &device_id(&id)?, json).await,
        cli::Device::Release { device_id: id } => {
            let device = admin.use_cases.fleet.release.execute(&operator, &device_id(&id)?).await?;
            confirm!(
                "{} is {} again; the terminal can request a new pairing code",
                device.id(),
                device.status().as_str()
            )
        }
        cli::Device::Edit { device_id: id, label, no_label, location, no_location } => {
            let label =
                label.map(|text| Name::parse(&text).with_context(|| format!("--label {text:?}"))).transpose()?;
            let patch = DetailsPatch {
                label: (label.is_some() || no_label).then_some(label),
                location_id: (location.is_some() || no_location).then_some(location.map(LocationId)),
            };
            let device =
                admin.use_cases.fleet.update.execute(&operator, &device_id(&id)?, &patch).await.map_err(|error| {
                    match error {
                        FleetError::InvalidLocation(id) => anyhow::anyhow!(
                            "its merchant has no location {id}; `pos-server location list` lists the existing ones"
                        ),
                        other => other.into(),
                    }
                })?;
            let (label, location) = (device.details().label.as_ref(), device.details().location_id);
            confirm!(
                "{}: label {}, location {}",
                device.id(),
                label.map_or("-", Name::as_str),
                location.map_or_else(|| "-".to_owned(), |id| id.to_string())
            )
        }
        cli::Device::Transfer { device_id: id, merchant } => {
            let merchant = MerchantId(merchant);
            let transferred = admin.use_cases.fleet.transfer.execute(&operator, &device_id(&id)?, merchant).await;
            let device = transferred.map_err(|error| explain(error, merchant))?;
            confirm!("{} belongs to merchant {}", device.id(), device.merchant_id())
        }
        cli::Device::Decommission { device_id: id } => {
            let device = admin.use_cases.fleet.decommission.execute(&operator, &device_id(&id)?).await?;
            confirm!("{} is permanently {}", device.id(), device.status().as_str())
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

pub(super) fn device_id(text: &str) -> anyhow::Result<DeviceId> {
    DeviceId::parse(text).with_context(|| format!("device id {text:?}"))
}

async fn add_named(admin: &AdminUseCases, id: &str, merchant: Uuid) -> anyhow::Result<()> {
    let id = DeviceId::parse_new(id).with_context(|| format!("--device-id {id:?}"))?;
    let merchant = MerchantId(merchant);
    let new = NewDevice { id: Some(id.clone()), details: DeviceDetails::default() };
    admin.use_cases.fleet.provision.one(&MerchantAuthorization::operator(merchant), &new).await.map_err(|error| {
        match error {
            FleetError::Taken => anyhow::anyhow!("device {id} exists already"),
            other => explain(other, merchant),
        }
    })?;
    confirm!("{id}")
}

/// Replaces an unknown merchant by a message that names it and how to add it.
fn explain(error: FleetError, merchant: MerchantId) -> anyhow::Error {
    match error {
        FleetError::UnknownMerchant => anyhow::anyhow!(listing::unknown(Party::Merchant(merchant))),
        other => other.into(),
    }
}

async fn add_some(admin: &AdminUseCases, count: usize, merchant: Uuid) -> anyhow::Result<()> {
    let (merchant, mut done) = (MerchantId(merchant), 0);
    while done < count {
        let ids = match admin.use_cases.fleet.provision.some(count - done, merchant, &AuditContext::operator()).await {
            Err(FleetError::UnknownMerchant) => return Err(explain(FleetError::UnknownMerchant, merchant)),
            other => other.with_context(|| {
                format!(
                    "{done} of {count} devices were provisioned and are listed above; run again for the other {}",
                    count - done
                )
            })?,
        };
        done += ids.len();
        let mut out = Lines::new();
        let shown = ids.iter().try_for_each(|id| out.line(id)).and_then(|()| out.finish());
        shown.with_context(|| {
            format!(
                "{done} of {count} devices were provisioned, and not all of them are listed above; `pos-server device \
                 list` shows them"
            )
        })?;
        if count > ids.len() {
            note!("{done} of {count} provisioned");
        }
    }
    Ok(())
}

async fn list(admin: &AdminUseCases, page: DevicePage, as_json: bool) -> anyhow::Result<()> {
    let devices = admin.storage.storage.fleet.list(&page).await?;
    let mut out = Lines::new();
    if !as_json {
        out.line(format_args!("{:<16} {:<14} {:<36} {:<10} LAST SEEN", "DEVICE", "STATUS", "MERCHANT", "APP"))?;
    }
    for device in &devices {
        if as_json {
            out.line(describe(device)?)?;
        } else {
            let seen = device.last_seen();
            let app = seen.map_or("-", |seen| seen.agent.app_version.as_str());
            let at = seen.map(|seen| rfc3339(seen.at)).transpose()?.unwrap_or_else(|| "never".to_owned());
            let (id, status, merchant) = (device.id(), device.status().as_str(), device.merchant_id());
            out.line(format_args!("{:<16} {status:<14} {merchant:<36} {app:<10} {at}", id.as_str()))?;
        }
    }
    out.finish()?;
    if let Some(last) = devices.last().filter(|_| devices.len() as u64 == u64::from(page.limit)) {
        note!("there may be more: --after {}", last.id());
    }
    Ok(())
}

async fn show(admin: &AdminUseCases, id: &DeviceId, as_json: bool) -> anyhow::Result<()> {
    let found = admin.storage.storage.fleet.find(Scope::Operator, id).await?;
    let device = found.with_context(|| format!("no device {id}; `pos-server device list` lists the existing ones"))?;
    let events = admin.storage.storage.events.events_of(&DeviceHistory::whole(id)).await?;
    let mut shown = describe(&device)?;
    let history = events.iter().map(describe_event).collect::<anyhow::Result<Vec<_>>>()?;
    if as_json {
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("events".to_owned(), history.into());
        }
        return Ok(out!("{shown}")?);
    }
    let mut out = Lines::new();
    for (name, value) in shown.as_object().into_iter().flatten() {
        out.line(format_args!("{name:<18} {}", plain(value)))?;
    }
    out.line("\nevents: sequence, time, event, actor, client IP, trace id")?;
    for event in &events {
        let audit_context = &event.audit_context;
        let client_ip = audit_context.client_ip.map_or_else(|| "-".to_owned(), |client_ip| client_ip.to_string());
        let trace_id = audit_context.trace_id.map_or_else(|| "-".to_owned(), |trace_id| trace_id.to_string());
        let (at, kind) = (rfc3339(event.at)?, event.kind.as_str());
        let (sequence, actor) = (event.sequence, audit_context.actor.to_string());
        out.line(format_args!("{sequence:>4}  {at}  {kind:<20} {actor:<24} {client_ip:<16} {trace_id}"))?;
    }
    Ok(out.finish()?)
}

/// JSON view of a device for an operator: everything except its pairing code.
fn describe(device: &Device) -> anyhow::Result<Value> {
    let (claim, activated_at, decommissioned_at) = match device.state() {
        DeviceState::Inactive { .. } => (None, None, None),
        DeviceState::Claimed(claim) => (Some(claim), None, None),
        DeviceState::Activated { claim, at } => (Some(claim), Some(*at), None),
        DeviceState::Decommissioned { at } => (None, None, Some(*at)),
    };
    let seen = device.last_seen();
    Ok(json!({
        "device_id": device.id().as_str(),
        "merchant_id": device.merchant_id().to_string(),
        "status": device.status().as_str(),
        "version": device.version(),
        "label": device.details().label.as_ref().map(Name::as_str),
        "location_id": device.details().location_id.map(|id| id.to_string()),
        "provisioned_at": rfc3339(device.provisioned_at())?,
        "claimed_by": claim.map(|claim| claim.by.as_str()),
        "claimed_at": claim.map(|claim| rfc3339(claim.at)).transpose()?,
        "activated_at": activated_at.map(rfc3339).transpose()?,
        "decommissioned_at": decommissioned_at.map(rfc3339).transpose()?,
        "app_version": seen.map(|seen| seen.agent.app_version.as_str()),
        "os": seen.and_then(|seen| seen.agent.os.as_deref()),
        "model": seen.and_then(|seen| seen.agent.model.as_deref()),
        "last_seen": seen.map(|seen| rfc3339(seen.at)).transpose()?,
    }))
}

fn describe_event(event: &DeviceEvent) -> anyhow::Result<Value> {
    Ok(json!({
        "sequence": event.sequence,
        "at": rfc3339(event.at)?,
        "event": event.kind.as_str(),
        "actor": event.audit_context.actor.to_string(),
        "client_ip": event.audit_context.client_ip.map(|client_ip| client_ip.to_string()),
        "trace_id": event.audit_context.trace_id.map(|trace_id| trace_id.to_string()),
        "merchant_id": event.merchant_id.to_string(),
    }))
}

fn rfc3339(at: OffsetDateTime) -> anyhow::Result<String> {
    Ok(at.replace_nanosecond(0)?.format(&Rfc3339)?)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
