use std::sync::Arc;

use pos_domain::{
    ClaimLimit, ClaimRefusal, Claimant, CodeEnd, DeviceId, EndedCode, PairingCode, TooManyFailures, Transition,
};
use pos_port_clock::Clock;
use pos_port_storage::{ClaimFailureRepository, DeviceRepository, SaveError, StorageError};
use time::OffsetDateTime;

use crate::MAX_ATTEMPTS;

/// Links a terminal to a merchant by the code on its screen. Of any number of simultaneous claims of one code exactly
/// one succeeds, and guessing is bounded by a [`ClaimLimit`] (contract, section 3).
///
/// The bound is checked after the code has been looked up and before anything is answered or saved. So a caller learns
/// nothing from a guess that was one too many, while claims that succeed cost nobody an attempt, however many are
/// under way at once.
pub struct ClaimDevice {
    devices: Arc<dyn DeviceRepository>,
    failures: Arc<dyn ClaimFailureRepository>,
    clock: Arc<dyn Clock>,
    limit: ClaimLimit,
}

/// What the merchant sent.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimAttempt {
    /// The code as it was typed.
    pub typed_code: String,
    /// The device the code is expected to belong to, when the merchant named one.
    pub device_id: Option<String>,
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimDeviceError {
    /// No device shows or showed this code, or not the one that was named.
    #[error("Pairing code not found")]
    CodeNotFound,
    /// The code was used before.
    #[error("Pairing code has already been used")]
    CodeUsed,
    /// The code's time is over, or its device has had another since.
    #[error("Pairing code has expired")]
    CodeExpired,
    /// The device is another merchant's.
    #[error("Device does not belong to your merchant account")]
    NotOwner {
        /// The device that showed the code.
        device_id: DeviceId,
    },
    /// This merchant or this user was wrong too often.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// Every attempt lost a race.
    #[error("the device kept changing")]
    Contended,
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a look at the store made of a claim.
enum Decision {
    Claim(Box<Transition>),
    Refuse(ClaimDeviceError),
}

impl ClaimDevice {
    /// Claims under `limit`.
    #[must_use]
    pub fn new(
        devices: Arc<dyn DeviceRepository>,
        failures: Arc<dyn ClaimFailureRepository>,
        clock: Arc<dyn Clock>,
        limit: ClaimLimit,
    ) -> Self {
        Self { devices, failures, clock, limit }
    }

    /// Claims the device that shows the code, for the claimant's merchant, and answers which it was.
    ///
    /// # Errors
    /// [`ClaimDeviceError`].
    pub async fn execute(&self, by: &Claimant, attempt: &ClaimAttempt) -> Result<DeviceId, ClaimDeviceError> {
        for _ in 0..MAX_ATTEMPTS {
            let now = self.clock.now();
            let decision = self.decide(by, attempt, now).await?;
            self.limit.admit(&self.failures.standing(by).await?, now)?;
            let transition = match decision {
                Decision::Claim(transition) => transition,
                Decision::Refuse(refusal) => {
                    let standing = self.failures.record(by, &self.limit, now).await?;
                    self.limit.admit_counted(&standing, now)?;
                    return Err(refusal);
                }
            };
            match self.devices.save(&transition).await {
                Ok(()) => {
                    let device_id = transition.into_device().id().clone();
                    tracing::info!(%device_id, merchant_id = %by.merchant_id, user_id = %by.user_id, "device claimed");
                    return Ok(device_id);
                }
                Err(SaveError::Conflict | SaveError::CodeTaken) => {}
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(ClaimDeviceError::Contended)
    }

    async fn decide(
        &self,
        by: &Claimant,
        attempt: &ClaimAttempt,
        now: OffsetDateTime,
    ) -> Result<Decision, StorageError> {
        let not_found = Decision::Refuse(ClaimDeviceError::CodeNotFound);
        let Ok(code) = PairingCode::from_typed(&attempt.typed_code) else {
            return Ok(not_found);
        };
        if let Some(device) = self.devices.find_by_pairing_code(code).await? {
            if !attempt.may_mean(device.id()) {
                return Ok(not_found);
            }
            let device_id = device.id().clone();
            return Ok(match device.claim(code, by, now) {
                Ok(transition) => Decision::Claim(Box::new(transition)),
                Err(refusal) => Decision::Refuse(ClaimDeviceError::of(refusal, device_id)),
            });
        }
        let ended = self.devices.find_ended_code(code).await?;
        Ok(match ended.filter(|ended| attempt.may_mean(&ended.device_id)) {
            Some(EndedCode { end: CodeEnd::Used, .. }) => Decision::Refuse(ClaimDeviceError::CodeUsed),
            Some(EndedCode { end: CodeEnd::Retired, .. }) => Decision::Refuse(ClaimDeviceError::CodeExpired),
            None => not_found,
        })
    }
}

impl ClaimAttempt {
    fn may_mean(&self, device_id: &DeviceId) -> bool {
        self.device_id.as_ref().is_none_or(|named| named == device_id.as_str())
    }
}

impl ClaimDeviceError {
    fn of(refusal: ClaimRefusal, device_id: DeviceId) -> Self {
        match refusal {
            ClaimRefusal::AlreadyUsed => Self::CodeUsed,
            ClaimRefusal::Expired => Self::CodeExpired,
            ClaimRefusal::NotOwner => Self::NotOwner { device_id },
        }
    }
}
