use std::sync::Arc;

use pos_domain::{IssueRefusal, PairingCode};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{DeviceRepository, SaveError, StorageError};
use time::Duration;

use crate::sighting::{TerminalCall, note_change};
use crate::{MAX_ATTEMPTS, in_use};

/// Gives a terminal a new pairing code to show, and retires the one before.
pub struct IssuePairingCode {
    devices: Arc<dyn DeviceRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    ttl: Duration,
}

/// The code a terminal is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedPairingCode {
    /// The code.
    pub code: PairingCode,
    /// How long it is valid from now.
    pub ttl: Duration,
}

/// Why no code was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssuePairingCodeError {
    /// No device has this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The device's state forbids it.
    #[error(transparent)]
    Refused(#[from] IssueRefusal),
    /// Every attempt lost a race or drew a taken code.
    #[error("Failed to create pairing code")]
    Exhausted,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl IssuePairingCode {
    /// Issues codes drawn from `entropy`, each valid for `ttl`.
    #[must_use]
    pub fn new(
        devices: Arc<dyn DeviceRepository>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        ttl: Duration,
    ) -> Self {
        Self { devices, clock, entropy, ttl }
    }

    /// Answers a terminal's request for a code.
    ///
    /// # Errors
    /// [`IssuePairingCodeError`].
    pub async fn execute(&self, call: &TerminalCall) -> Result<IssuedPairingCode, IssuePairingCodeError> {
        for attempt in 0..MAX_ATTEMPTS {
            let found = self.devices.find(&call.device_id).await?;
            let device = in_use(found).ok_or(IssuePairingCodeError::UnknownDevice)?;
            let now = self.clock.now();
            if attempt == 0 {
                note_change(&*self.devices, &device, call, now).await;
            }
            let code = PairingCode::from_bits(self.entropy.bits());
            let transition = device.issue_pairing_code(code, self.ttl, call.context, now)?;
            match self.devices.save(&transition).await {
                Ok(()) => {
                    tracing::info!(device_id = %call.device_id, "pairing code issued");
                    return Ok(IssuedPairingCode { code, ttl: self.ttl });
                }
                Err(
                    SaveError::Conflict
                    | SaveError::CodeTaken
                    | SaveError::UnknownMerchant
                    | SaveError::UnknownLocation,
                ) => {}
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(IssuePairingCodeError::Exhausted)
    }
}
