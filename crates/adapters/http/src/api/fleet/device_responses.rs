//! Responses with devices and device events. Every field is always present; it is `null` when there is no value.

use pos_application::support::Page;
use pos_domain::device::{Claim, Device, DeviceEvent, DeviceState, TerminalInfo};
use serde::Serialize;
use time::OffsetDateTime;
use time::error::Format;
use utoipa::ToSchema;

use crate::api::cursor::List;
use crate::api::shared::whole_seconds;

/// A device. The pairing code is not included: only the terminal displays it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "device_id": "POS-8F3A2C91", "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "status": "claimed",
    "pairing_code_status": "used", "label": "Till 2", "location_id": "6f1d2c3b-0000-4000-8000-000000000001",
    "provisioned_at": "2025-12-12T09:00:00Z", "claimed_at": "2025-12-13T14:25:30Z",
    "claimed_by": "0c7b3f5e-0000-4000-8000-000000000001", "activated_at": null, "decommissioned_at": null,
    "last_seen": {"at": "2025-12-13T14:25:29Z", "app_version": "1.4.2", "os": "Android 12", "model": "PAX-A920"},
}))]
pub(crate) struct DeviceResponse {
    /// Id of the device.
    device_id: String,
    /// Merchant of the device.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// `inactive`, `claimed`, `activated` or `decommissioned`.
    #[schema(value_type = String, pattern = "^(inactive|claimed|activated|decommissioned)$")]
    status: &'static str,
    /// Status of the latest pairing code: `none`, `pending`, `used` or `expired`.
    #[schema(value_type = String, pattern = "^(none|pending|used|expired)$")]
    pairing_code_status: &'static str,
    /// Display name.
    #[schema(required = true)]
    label: Option<String>,
    /// Location of the device.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    location_id: Option<String>,
    /// Time of provisioning.
    #[schema(format = DateTime)]
    provisioned_at: String,
    /// Time of the claim.
    #[schema(required = true, format = DateTime)]
    claimed_at: Option<String>,
    /// User who claimed the device: the subject of the token.
    #[schema(required = true)]
    claimed_by: Option<String>,
    /// Time of activation.
    #[schema(required = true, format = DateTime)]
    activated_at: Option<String>,
    /// Time of decommissioning.
    #[schema(required = true, format = DateTime)]
    decommissioned_at: Option<String>,
    /// Terminal info of the latest request; `null` before the first one.
    #[schema(required = true)]
    last_seen: Option<LastSeen>,
}

/// Terminal info of the latest request. Unchanged info is stored again only from time to time.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastSeen {
    /// Time at which the info was stored.
    #[schema(format = DateTime)]
    at: String,
    /// App version.
    app_version: String,
    /// Operating system.
    #[schema(required = true)]
    os: Option<String>,
    /// Device model.
    #[schema(required = true)]
    model: Option<String>,
}

/// A page of devices.
#[derive(Serialize, ToSchema)]
pub(crate) struct DevicePage {
    items: Vec<DeviceResponse>,
    /// `cursor` of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// An event of a device.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "sequence": 3, "at": "2025-12-13T14:25:30Z", "event": "claimed", "actor": "user:0c7b3f5e-0000-4000-8000-000000000001",
    "client_ip": "198.51.100.7", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f",
}))]
pub(crate) struct EventResponse {
    /// Sequence number of the event within the device, from 1.
    #[schema(minimum = 1)]
    sequence: u64,
    /// Time of the event.
    #[schema(format = DateTime)]
    at: String,
    /// Kind of event: `provisioned`, `pairing_code_issued`, `claimed`, `activated`, `released`, `updated`, `transferred` or
    /// `decommissioned`.
    #[schema(value_type = String)]
    event: &'static str,
    /// Actor: `terminal`, `operator`, or `user:` and the subject of the token.
    actor: String,
    /// IP address of the client; `null` for an operator.
    #[schema(required = true)]
    client_ip: Option<String>,
    /// Trace id of the request; `null` for an operator.
    #[schema(required = true)]
    trace_id: Option<String>,
    /// Merchant of the device after the event.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventResponse>,
    /// `cursor` of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl DeviceResponse {
    /// Renders a device as of `now`.
    pub(crate) fn of(device: &Device, now: OffsetDateTime) -> Result<Self, Format> {
        let mut claim: Option<&Claim> = None;
        let (mut activated_at, mut decommissioned_at) = (None, None);
        match device.state() {
            DeviceState::Inactive { .. } => {}
            DeviceState::Claimed(by) => claim = Some(by),
            DeviceState::Activated { claim: by, at } => (claim, activated_at) = (Some(by), Some(*at)),
            DeviceState::Decommissioned { at } => decommissioned_at = Some(*at),
        }
        let details = device.details();
        Ok(Self {
            device_id: device.id().to_string(),
            merchant_id: device.merchant_id().to_string(),
            status: device.status().as_str(),
            pairing_code_status: device.pairing_code_status(now).as_str(),
            label: details.label.as_ref().map(ToString::to_string),
            location_id: details.location_id.map(|id| id.to_string()),
            provisioned_at: whole_seconds(device.provisioned_at())?,
            claimed_at: claim.map(|claim| whole_seconds(claim.at)).transpose()?,
            claimed_by: claim.map(|claim| claim.by.to_string()),
            activated_at: activated_at.map(whole_seconds).transpose()?,
            decommissioned_at: decommissioned_at.map(whole_seconds).transpose()?,
            last_seen: device.last_seen().map(LastSeen::of).transpose()?,
        })
    }
}

impl LastSeen {
    fn of(info: &TerminalInfo) -> Result<Self, Format> {
        Ok(Self {
            at: whole_seconds(info.at)?,
            app_version: info.agent.app_version.to_string(),
            os: info.agent.os.clone(),
            model: info.agent.model.clone(),
        })
    }
}

impl DevicePage {
    pub(crate) fn of(page: &Page<Device>, now: OffsetDateTime) -> Result<Self, Format> {
        let items = page.items.iter().map(|device| DeviceResponse::of(device, now)).collect::<Result<Vec<_>, _>>()?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Self { items, next_cursor: last.map(|device| List::Devices.after(device.id())) })
    }
}

impl EventResponse {
    fn of(event: &DeviceEvent) -> Result<Self, Format> {
        Ok(Self {
            sequence: event.sequence,
            at: whole_seconds(event.at)?,
            event: event.kind.as_str(),
            actor: event.audit_context.actor.to_string(),
            client_ip: event.audit_context.client_ip.map(|client_ip| client_ip.to_string()),
            trace_id: event.audit_context.trace_id.map(|trace_id| trace_id.to_string()),
            merchant_id: event.merchant_id.to_string(),
        })
    }
}

impl EventPage {
    pub(crate) fn of(page: &Page<DeviceEvent>) -> Result<Self, Format> {
        let items = page.items.iter().map(EventResponse::of).collect::<Result<Vec<_>, _>>()?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Self { items, next_cursor: last.map(|event| List::Events.after(event.sequence)) })
    }
}
