//! Use case: issue of a pairing code.

use std::sync::Arc;

use pos_domain::device::{IssueRefusal, PairingCode};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::{SaveError, StorageError};
use time::Duration;

use crate::pairing::in_use::in_use;
use crate::pairing::terminal_info::{TerminalCall, store_if_changed};
use crate::support::MAX_ATTEMPTS;

/// Issues a new pairing code to a terminal, and supersedes the previous one.
pub struct IssuePairingCode {
    devices: Arc<dyn DeviceRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ttl: Duration,
}

/// A new pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedPairingCode {
    /// The code.
    pub code: PairingCode,
    /// Lifetime of the code from now on.
    pub ttl: Duration,
}

/// Why no code was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuePairingCodeError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The state of the device does not allow it.
    #[error(transparent)]
    Refused(#[from] IssueRefusal),
    /// Every attempt was overtaken by a concurrent modification or generated a code in use.
    #[error("Failed to create pairing code")]
    Exhausted,
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl IssuePairingCode {
    /// Creates the use case; codes are generated from `entropy` and valid for `ttl`.
    #[must_use]
    pub(crate) fn new(
        devices: Arc<dyn DeviceRepository>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        ttl: Duration,
    ) -> Self {
        Self { devices, clock, entropy, ttl }
    }

    /// Handles a terminal's request for a code.
    ///
    /// # Errors
    /// [`IssuePairingCodeError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<IssuedPairingCode, IssuePairingCodeError> {
        for attempt in 0..MAX_ATTEMPTS {
            let found = self.devices.find(&call.device_id).await?;
            let device = in_use(found).ok_or(IssuePairingCodeError::UnknownDevice)?;
            let now = self.clock.now();
            if attempt == 0 {
                store_if_changed(&*self.devices, &device, call, now).await;
            }
            let code = PairingCode::from_bits(self.entropy.bits());
            let transition = device.issue_pairing_code(code, self.ttl, call.context, now)?;
            match self.devices.save(&transition).await {
                Ok(()) => {
                    tracing::info!(device_id = %call.device_id, "pairing code issued");
                    return Ok(IssuedPairingCode { code, ttl: self.ttl });
                }
                Err(SaveError::Conflict | SaveError::CodeTaken) => {}
                // A new code changes neither merchant nor location.
                Err(impossible @ (SaveError::UnknownMerchant | SaveError::UnknownLocation)) => {
                    return Err(StorageError::Fault(impossible.into()).into());
                }
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(IssuePairingCodeError::Exhausted)
    }
}
