//! Retention of the audit trail: the minimum age of purged events, and the chain checkpoints that replace them.
//!
//! ```text
//!   events of one device    1 ── 2 ── 3 ── 4 │ 5 ── 6 ── 7
//!                           └─ purgeable ─┘  │  └ retained, with all after it
//!                                  the last before the cut-off
//! ```
//!
//! A purge always deletes the oldest events of a device, so a [`ChainCheckpoint`] can replace them and the chain of the
//! others can still be verified. The event that gives the device's state at the cut-off is retained, and so is the
//! claim that its current state is based on.

use time::Duration;

use crate::device::DeviceStatus;
use crate::shared::{DeviceId, EventHash};

/// Minimum age of purged events: thirteen months, so that a yearly audit has the whole year before it. No setting can
/// lower it, and [`ChainVerifier`](crate::device::ChainVerifier) reports younger gaps as faults.
pub const SHORTEST_EVENT_RETENTION: Duration = Duration::days(395);

/// Replaces a device's oldest events after they were purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainCheckpoint {
    /// Id of the device.
    pub device_id: DeviceId,
    /// Sequence of the last purged event; all events before it are purged too.
    pub through: u64,
    /// Last digest among the purged events, which the next event's digest includes; none if they were written before
    /// chains existed.
    pub hash: Option<EventHash>,
}

/// Returns the sequence of the first event that a device's current state needs: its claim while it is claimed or
/// activated, else its last event. `last_claim` is the sequence of its last claim event, if that exists.
#[must_use]
pub fn first_needed_event(status: DeviceStatus, version: u64, last_claim: Option<u64>) -> u64 {
    match status {
        DeviceStatus::Claimed | DeviceStatus::Activated => last_claim.unwrap_or(1),
        DeviceStatus::Inactive | DeviceStatus::Decommissioned => version,
    }
}
