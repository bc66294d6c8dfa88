//! How long the audit trail is kept at least, and what of it may go.
//!
//! ```text
//!   events of one device    1 ── 2 ── 3 ── 4 │ 5 ── 6 ── 7
//!                           └── may go ───┘  │  └ stays, and all after it
//!                                  the last before the cut-off
//! ```
//!
//! What goes is always the oldest part of a device's events, so an [`EventAnchor`] can stand for it and the chain of the
//! others can still be followed. The event that says how the device stood at the cut-off stays, and so does the claim
//! that it stands on today.

use time::{Duration, OffsetDateTime};

use crate::{Act, AuditEvent, AuditKind, DeviceId, DeviceStatus, EventHash};

/// No event goes that is younger than this: thirteen months, so that a yearly audit has the whole year before it. No
/// setting undercuts it, and [`ChainCheck`](crate::ChainCheck) takes less for a fault.
pub const SHORTEST_EVENT_RETENTION: Duration = Duration::days(395);

/// What is left of a device's oldest events when they were reclaimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventAnchor {
    /// Whose.
    pub device_id: DeviceId,
    /// The sequence of the last event that went; so did all before it.
    pub through: u64,
    /// The last digest among those that went, which the next event's digest is of; none when they were older than
    /// chains.
    pub hash: Option<EventHash>,
}

/// The sequence of the first event that a device's present state needs: its claim while it is claimed or activated, else
/// its last event. `last_claim` is the sequence of its last claim, if that is there.
#[must_use]
pub fn first_needed_event(status: DeviceStatus, version: u64, last_claim: Option<u64>) -> u64 {
    match status {
        DeviceStatus::Claimed | DeviceStatus::Activated => last_claim.unwrap_or(1),
        DeviceStatus::Inactive | DeviceStatus::Decommissioned => version,
    }
}

/// What goes on record when events were reclaimed: how many, of which sort, and up to when they had happened.
#[must_use]
pub fn events_reclaimed(sort: &str, count: u64, before: OffsetDateTime, now: OffsetDateTime) -> AuditEvent {
    let kind = AuditKind::EventsReclaimed;
    let event = AuditEvent { at: now, act: Act::operator(), merchant_id: None, kind, subject: None, detail: [].into() };
    event.with("sort", sort).with("count", count).with("before_unix_secs", before.unix_timestamp())
}
