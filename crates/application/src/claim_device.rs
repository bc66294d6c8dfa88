use std::sync::Arc;

use pos_domain::{
    CallContext, ClaimLimit, ClaimRefusal, Claimant, CodeEnd, DeviceId, EndedCode, PairingCode, RefusedClaim,
    RefusedClaimReason, TooManyFailures, Transition,
};
use pos_port_clock::Clock;
use pos_port_storage::{ClaimFailureRepository, DeviceRepository, SaveError, SaveOnceError, StorageError};
use time::OffsetDateTime;

use crate::{Created, FleetError, KeyedCall, MAX_ATTEMPTS, NoAnswer};

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
    /// From where it came.
    pub context: CallContext,
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
    /// The caller's key was used for another request.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// Every attempt lost a race.
    #[error("the device kept changing")]
    Contended,
    /// What the caller is to be told could not be put into words.
    #[error("no answer could be made")]
    Answer(#[source] NoAnswer),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<FleetError> for ClaimDeviceError {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::KeyReused => Self::KeyReused,
            FleetError::Storage(error) => Self::Storage(error),
            FleetError::Answer(error) => Self::Answer(error),
            other => Self::Answer(other.into()),
        }
    }
}

/// What a look at the store made of a claim.
enum Decision {
    Claim(Box<Transition>),
    Refuse(Refusal),
}

/// A refusal: the answer, the word for the audit trail, the device whose code it was, and whether it counts as a failed
/// attempt.
struct Refusal {
    error: ClaimDeviceError,
    reason: RefusedClaimReason,
    device_id: Option<DeviceId>,
    counts: bool,
}

impl Refusal {
    fn of(reason: ClaimRefusal, device_id: DeviceId) -> Self {
        let (error, reason) = match reason {
            ClaimRefusal::AlreadyUsed => (ClaimDeviceError::CodeUsed, RefusedClaimReason::Used),
            ClaimRefusal::Expired => (ClaimDeviceError::CodeExpired, RefusedClaimReason::Expired),
            ClaimRefusal::NotOwner => {
                (ClaimDeviceError::NotOwner { device_id: device_id.clone() }, RefusedClaimReason::NotOwner)
            }
        };
        Self { error, reason, device_id: Some(device_id), counts: true }
    }

    /// The code was used. By the caller's own merchant, it is a claim sent again, whose answer may have been lost, and no
    /// guess.
    fn used(device_id: DeviceId, by_own_merchant: bool) -> Self {
        Self { counts: !by_own_merchant, ..Self::of(ClaimRefusal::AlreadyUsed, device_id) }
    }

    /// Told as if there were no such code; the audit trail keeps whose it was.
    fn not_found(device_id: Option<DeviceId>) -> Self {
        Self { error: ClaimDeviceError::CodeNotFound, reason: RefusedClaimReason::NotFound, device_id, counts: true }
    }
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
        match self.execute_once(by, attempt, None).await? {
            Created::Now(device_id) => Ok(device_id),
            Created::Before(_) => Err(ClaimDeviceError::Answer("a claim without a key was answered before".into())),
        }
    }

    /// The same, once for each key of a user: sent again, it changes nothing, counts as no attempt, and is told what the
    /// first was told.
    ///
    /// # Errors
    /// [`ClaimDeviceError`].
    pub async fn execute_once(
        &self,
        by: &Claimant,
        attempt: &ClaimAttempt,
        call: Option<KeyedCall<'_, DeviceId>>,
    ) -> Result<Created<DeviceId>, ClaimDeviceError> {
        for _ in 0..MAX_ATTEMPTS {
            let now = self.clock.now();
            let decision = self.decide(by, attempt, now).await?;
            // After the look at the device: whoever sees the device that the first claim changed sees its answer too.
            if let Some(call) = &call
                && let Some(earlier) = call.earlier_claim(by, now).await?
            {
                return Ok(earlier);
            }
            let refused = |device_id, reason| RefusedClaim {
                by: by.clone(),
                context: attempt.context,
                at: now,
                device_id,
                reason,
            };
            let standing = self.failures.standing(by).await?;
            if let Err(too_many) = self.limit.admit(&standing, now) {
                let windows = [standing.merchant, standing.user];
                // Asked first, so that a flood of claims past the limit costs reads only.
                if windows.iter().flatten().any(|window| self.limit.is_just_full(window, now)) {
                    let refused = refused(decision.device_id(), RefusedClaimReason::TooManyFailures);
                    self.failures.record_blocked(&refused, &self.limit).await?;
                }
                return Err(too_many.into());
            }
            let transition = match decision {
                Decision::Claim(transition) => transition,
                Decision::Refuse(Refusal { error, counts: false, .. }) => return Err(error),
                Decision::Refuse(Refusal { error, reason, device_id, counts: true }) => {
                    let counted = self.failures.record(&refused(device_id, reason), &self.limit).await?;
                    self.limit.admit_counted(&counted, now)?;
                    return Err(error);
                }
            };
            let saved = match &call {
                None => self.devices.save(&transition).await,
                Some(call) => {
                    let once = call.once_claimed(by, transition.device().id(), now)?;
                    match self.devices.save_once(&transition, &once).await {
                        Ok(()) => Ok(()),
                        Err(SaveOnceError::Answered(kept)) => return Ok(call.claimed_before(kept)?),
                        Err(SaveOnceError::Refused(refused)) => Err(refused),
                    }
                }
            };
            match saved {
                Ok(()) => {
                    let device_id = transition.into_device().id().clone();
                    tracing::info!(%device_id, merchant_id = %by.merchant_id, user_id = %by.user_id, "device claimed");
                    return Ok(Created::Now(device_id));
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
        Err(ClaimDeviceError::Contended)
    }

    async fn decide(
        &self,
        by: &Claimant,
        attempt: &ClaimAttempt,
        now: OffsetDateTime,
    ) -> Result<Decision, StorageError> {
        let refuse = |refusal| Ok(Decision::Refuse(refusal));
        let Ok(code) = PairingCode::from_typed(&attempt.typed_code) else {
            return refuse(Refusal::not_found(None));
        };
        if let Some(device) = self.devices.find_by_pairing_code(code).await? {
            if !attempt.may_mean(device.id()) {
                return refuse(Refusal::not_found(Some(device.id().clone())));
            }
            let (device_id, is_own) = (device.id().clone(), device.merchant_id() == by.merchant_id);
            return match device.claim(code, by, attempt.context, now) {
                Ok(transition) => Ok(Decision::Claim(Box::new(transition))),
                Err(ClaimRefusal::AlreadyUsed) => refuse(Refusal::used(device_id, is_own)),
                Err(reason) => refuse(Refusal::of(reason, device_id)),
            };
        }
        refuse(match self.devices.find_ended_code(code).await? {
            None => Refusal::not_found(None),
            Some(EndedCode { device_id, .. }) if !attempt.may_mean(&device_id) => Refusal::not_found(Some(device_id)),
            Some(EndedCode { end: CodeEnd::Used, device_id, .. }) => {
                let device = self.devices.find(&device_id).await?;
                Refusal::used(device_id, device.is_some_and(|device| device.merchant_id() == by.merchant_id))
            }
            Some(EndedCode { end: CodeEnd::Retired, device_id, .. }) => Refusal::of(ClaimRefusal::Expired, device_id),
        })
    }
}

impl Decision {
    /// The device whose code it is.
    fn device_id(&self) -> Option<DeviceId> {
        match self {
            Self::Claim(transition) => Some(transition.device().id().clone()),
            Self::Refuse(refusal) => refusal.device_id.clone(),
        }
    }
}

impl ClaimAttempt {
    fn may_mean(&self, device_id: &DeviceId) -> bool {
        self.device_id.as_ref().is_none_or(|named| named == device_id.as_str())
    }
}
