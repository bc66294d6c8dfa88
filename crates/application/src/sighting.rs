//! What a terminal says of itself with every call, kept beside the state machine.

use pos_domain::{CallContext, Device, DeviceId, Sighting, UserAgent};
use pos_port_storage::DeviceRepository;
use time::OffsetDateTime;

/// One call by a terminal: who it says it is, and what it says of itself (contract, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalCall {
    /// `X-Device-Id`.
    pub device_id: DeviceId,
    /// `User-Agent`.
    pub agent: UserAgent,
    /// From where.
    pub context: CallContext,
}

/// Keeps what the terminal said if it differs from what was known. A failure here is logged and costs the terminal
/// nothing.
pub(crate) async fn note_change(
    devices: &dyn DeviceRepository,
    device: &Device,
    call: &TerminalCall,
    now: OffsetDateTime,
) {
    if is_change(device, call) {
        note(devices, call, now).await;
    }
}

/// Whether the terminal says something else of itself than before.
pub(crate) fn is_change(device: &Device, call: &TerminalCall) -> bool {
    device.last_seen().is_none_or(|seen| seen.agent != call.agent)
}

/// Keeps what the terminal said, and that it said so now.
pub(crate) async fn note(devices: &dyn DeviceRepository, call: &TerminalCall, now: OffsetDateTime) {
    let sighting = Sighting { agent: call.agent.clone(), at: now };
    if let Err(error) = devices.record_sighting(&call.device_id, &sighting).await {
        tracing::warn!(%error, "what the terminal said of itself was not kept");
    }
}
