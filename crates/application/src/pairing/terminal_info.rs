//! Terminal info: the user agent and the time of a terminal's last contact, stored independently of its state.

use pos_domain::device::{Device, TerminalInfo, UserAgent};
use pos_domain::shared::{DeviceId, RequestContext};
use pos_port_storage::device::DeviceRepository;
use time::OffsetDateTime;

/// A request of a terminal: its device id and user agent (contract, section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalCall {
    /// `X-Device-Id`.
    pub device_id: DeviceId,
    /// `User-Agent`.
    pub agent: UserAgent,
    /// Context of the request.
    pub context: RequestContext,
}

/// Stores the terminal info if the user agent has changed. Errors are logged and do not affect the terminal.
pub(crate) async fn store_if_changed(
    devices: &dyn DeviceRepository,
    device: &Device,
    call: &TerminalCall,
    now: OffsetDateTime,
) {
    if is_changed(device, call) {
        store_terminal_info(devices, call, now).await;
    }
}

/// Whether the user agent differs from the stored one.
pub(crate) fn is_changed(device: &Device, call: &TerminalCall) -> bool {
    device.last_seen().is_none_or(|seen| seen.agent != call.agent)
}

/// Stores the user agent and the time. Errors are logged and do not affect the terminal.
pub(crate) async fn store_terminal_info(devices: &dyn DeviceRepository, call: &TerminalCall, now: OffsetDateTime) {
    let info = TerminalInfo { agent: call.agent.clone(), at: now };
    if let Err(error) = devices.update_terminal_info(&call.device_id, &info).await {
        tracing::warn!(%error, "failed to store terminal info");
    }
}
