//! A device and its events as their managers see them. Every field is always there, `null` where there is nothing.

use pos_application::Page;
use pos_domain::{Claim, Device, DeviceEvent, DeviceState, Sighting};
use serde::Serialize;
use time::OffsetDateTime;
use time::error::Format;
use utoipa::ToSchema;

use super::super::cursor::List;
use super::bootstrap::whole_seconds;

/// A device. Never its pairing code: that is for the terminal's screen alone.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "device_id": "POS-8F3A2C91", "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "status": "claimed",
    "pairing_code_status": "used", "label": "Till 2", "location_id": "6f1d2c3b-0000-4000-8000-000000000001",
    "provisioned_at": "2025-12-12T09:00:00Z", "claimed_at": "2025-12-13T14:25:30Z",
    "claimed_by": "0c7b3f5e-0000-4000-8000-000000000001", "activated_at": null, "decommissioned_at": null,
    "last_seen": {"at": "2025-12-13T14:25:29Z", "app_version": "1.4.2", "os": "Android 12", "model": "PAX-A920"},
}))]
pub(crate) struct DeviceResponse {
    /// Its id.
    device_id: String,
    /// Whose it is.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// `inactive`, `claimed`, `activated` or `decommissioned`.
    #[schema(value_type = String, pattern = "^(inactive|claimed|activated|decommissioned)$")]
    status: &'static str,
    /// `none`, `pending`, `used` or `expired`.
    #[schema(value_type = String, pattern = "^(none|pending|used|expired)$")]
    pairing_code_status: &'static str,
    /// What people call it.
    #[schema(required = true)]
    label: Option<String>,
    /// Where it stands.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    location_id: Option<String>,
    /// When it was made known.
    #[schema(format = DateTime)]
    provisioned_at: String,
    /// When it was claimed.
    #[schema(required = true, format = DateTime)]
    claimed_at: Option<String>,
    /// Who claimed it: the token's subject.
    #[schema(required = true)]
    claimed_by: Option<String>,
    /// When it was activated.
    #[schema(required = true, format = DateTime)]
    activated_at: Option<String>,
    /// When it was taken out of use.
    #[schema(required = true, format = DateTime)]
    decommissioned_at: Option<String>,
    /// What its terminal last said of itself; `null` until it first called.
    #[schema(required = true)]
    last_seen: Option<LastSeen>,
}

/// What a terminal last said of itself. It says so with every call; an unchanged word is noted anew now and then only.
#[derive(Serialize, ToSchema)]
pub(crate) struct LastSeen {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The version of its app.
    app_version: String,
    /// Its operating system.
    #[schema(required = true)]
    os: Option<String>,
    /// Its model.
    #[schema(required = true)]
    model: Option<String>,
}

/// A page of devices.
#[derive(Serialize, ToSchema)]
pub(crate) struct DevicePage {
    items: Vec<DeviceResponse>,
    /// For `cursor` of the next page; `null` at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// One thing that happened to a device.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "sequence": 3, "at": "2025-12-13T14:25:30Z", "event": "claimed", "actor": "user:0c7b3f5e-0000-4000-8000-000000000001",
    "origin": "198.51.100.7", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f",
}))]
pub(crate) struct EventResponse {
    /// Counts the device's events from 1.
    #[schema(minimum = 1)]
    sequence: u64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// What: `provisioned`, `pairing_code_issued`, `claimed`, `activated`, `released`, `amended`, `moved` or
    /// `decommissioned`.
    #[schema(value_type = String)]
    event: &'static str,
    /// Who: `terminal`, `operator`, or `user:` and a token's subject.
    actor: String,
    /// From which address; `null` for an operator.
    #[schema(required = true)]
    origin: Option<String>,
    /// By which call; `null` for an operator.
    #[schema(required = true)]
    trace_id: Option<String>,
    /// Whose the device was afterwards.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
}

/// A page of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventPage {
    items: Vec<EventResponse>,
    /// For `cursor` of the next page; `null` at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl DeviceResponse {
    /// A device as it is at `now`.
    pub(super) fn of(device: &Device, now: OffsetDateTime) -> Result<Self, Format> {
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
    fn of(sighting: &Sighting) -> Result<Self, Format> {
        Ok(Self {
            at: whole_seconds(sighting.at)?,
            app_version: sighting.agent.app_version.to_string(),
            os: sighting.agent.os.clone(),
            model: sighting.agent.model.clone(),
        })
    }
}

impl DevicePage {
    pub(super) fn of(page: &Page<Device>, now: OffsetDateTime) -> Result<Self, Format> {
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
            actor: event.act.actor.to_string(),
            origin: event.act.origin.map(|origin| origin.to_string()),
            trace_id: event.act.trace_id.map(|trace_id| trace_id.to_string()),
            merchant_id: event.merchant_id.to_string(),
        })
    }
}

impl EventPage {
    pub(super) fn of(page: &Page<DeviceEvent>) -> Result<Self, Format> {
        let items = page.items.iter().map(EventResponse::of).collect::<Result<Vec<_>, _>>()?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Self { items, next_cursor: last.map(|event| List::Events.after(event.sequence)) })
    }
}
