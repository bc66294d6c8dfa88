//! Use case: claim of a device by its pairing code.

use std::sync::Arc;

use pos_domain::device::{ClaimRefusal, CodeEnd, PairingCode, PastCode, Transition};
use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, DeviceId, RequestContext, TooManyFailures};
use pos_port_clock::Clock;
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::pairing::ClaimFailureRepository;
use pos_port_storage::shared::{SaveError, SaveIdempotentError, StorageError};
use time::OffsetDateTime;

use crate::support::MAX_ATTEMPTS;
use crate::support::response::{self, Created, Encoded};
use crate::support::{EncodedResponse, FleetError, ResponseEncoder, SerializeError};

/// Assigns a terminal to a merchant by the code on its screen. Of any number of concurrent claims of one code exactly one
/// succeeds, and guessing is limited by an [`AttemptLimit`] (contract, section 3).
///
/// The limit is checked after the code was looked up and before anything is answered or saved. So a caller learns nothing from
/// a guess above the limit, while successful claims count as no attempt, however many are concurrent.
pub struct ClaimDevice {
    devices: Arc<dyn DeviceRepository>,
    failures: Arc<dyn ClaimFailureRepository>,
    clock: Arc<dyn Clock>,
    limit: AttemptLimit,
}

/// Input of a claim.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimAttempt {
    /// Code as the caller parsed it; `None` for six characters that no code can have. It counts as an unknown code, but the
    /// store is not queried.
    pub code: Option<PairingCode>,
    /// Expected device, if the merchant named one.
    pub device_id: Option<String>,
    /// Context of the request.
    pub context: RequestContext,
}

/// Why a claim failed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimDeviceError {
    /// No device shows or showed this code, or another device was named.
    #[error("Pairing code not found")]
    CodeNotFound,
    /// The code was used already.
    #[error("Pairing code has already been used")]
    CodeUsed,
    /// The code has expired, or a newer code superseded it.
    #[error("Pairing code has expired")]
    CodeExpired,
    /// The device belongs to another merchant.
    #[error("Device does not belong to your merchant account")]
    NotOwner {
        /// Device of the code.
        device_id: DeviceId,
    },
    /// This merchant or this user had too many failed claims.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// The Idempotency-Key was used for another request.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// Every attempt was overtaken by a concurrent modification.
    #[error("gave up after {} concurrent modifications", MAX_ATTEMPTS)]
    Contended,
    /// The response could not be serialized.
    #[error("failed to serialize the response")]
    Answer(#[source] SerializeError),
    /// The store is unavailable or failed.
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

/// Result of the look-ups for a claim.
enum Decision {
    Claim(Box<Transition>),
    Refuse(Refusal),
}

/// A refusal: the error, the reason in the audit trail, the device of the code, and whether it counts as a failed attempt.
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

    /// The code was used. If the caller's own merchant used it, this is a repeated claim whose response may have been lost, and
    /// does not count as a guess.
    fn used(device_id: DeviceId, by_own_merchant: bool) -> Self {
        Self { counts: !by_own_merchant, ..Self::of(ClaimRefusal::AlreadyUsed, device_id) }
    }

    /// Reported as an unknown code; the audit trail has the device of the code.
    fn not_found(device_id: Option<DeviceId>) -> Self {
        Self { error: ClaimDeviceError::CodeNotFound, reason: RefusedClaimReason::NotFound, device_id, counts: true }
    }
}

impl ClaimDevice {
    /// Creates the use case; claims are limited by `limit`.
    #[must_use]
    pub(crate) fn new(
        devices: Arc<dyn DeviceRepository>,
        failures: Arc<dyn ClaimFailureRepository>,
        clock: Arc<dyn Clock>,
        limit: AttemptLimit,
    ) -> Self {
        Self { devices, failures, clock, limit }
    }

    /// Claims the device that shows the code for the claimant's merchant, and returns its id.
    ///
    /// # Errors
    /// [`ClaimDeviceError`].
    pub async fn execute(&self, by: &Claimant, attempt: &ClaimAttempt) -> Result<DeviceId, ClaimDeviceError> {
        Ok(self.claim(by, attempt, None).await?.into_created()?)
    }

    /// Like [`Self::execute`], and returns the encoded response. A repeated request with an idempotency key of the user changes
    /// nothing, does not count as an attempt, and gets the stored response.
    ///
    /// # Errors
    /// [`ClaimDeviceError`].
    pub async fn execute_encoded(
        &self,
        by: &Claimant,
        attempt: &ClaimAttempt,
        encoder: ResponseEncoder<'_, DeviceId>,
    ) -> Result<EncodedResponse, ClaimDeviceError> {
        Ok(self.claim(by, attempt, Some(&encoder)).await?.into_response()?)
    }

    async fn claim(
        &self,
        by: &Claimant,
        attempt: &ClaimAttempt,
        encoder: Option<&ResponseEncoder<'_, DeviceId>>,
    ) -> Result<Created<DeviceId>, ClaimDeviceError> {
        for _ in 0..MAX_ATTEMPTS {
            let now = self.clock.now();
            let decision = self.decide(by, attempt, now).await?;
            // After the device look-up: a caller that sees the device as the first claim left it also sees the stored response.
            if let Some(encoder) = encoder
                && let Some(earlier) = encoder.find_earlier_claim(by, now).await?
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
            let counts = self.failures.attempt_counts(by).await?;
            if let Err(too_many) = self.limit.admit(&counts, now) {
                let windows = [counts.merchant, counts.user];
                // Checked in memory first, so that a flood of claims above the limit causes only reads.
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
            let encoded = encoder.map(|encoder| encoder.encode_claim(by, transition.device().id(), now)).transpose()?;
            let Encoded { body, record } = encoded.unwrap_or_default();
            let saved = match &record {
                None => self.devices.save(&transition).await,
                Some(record) => match self.devices.save_idempotent(&transition, record).await {
                    Ok(()) => Ok(()),
                    Err(SaveIdempotentError::Answered(stored)) => return Ok(response::replay(encoder, stored)?),
                    Err(SaveIdempotentError::Refused(refused)) => Err(refused),
                },
            };
            match saved {
                Ok(()) => {
                    let device_id = transition.into_device().id().clone();
                    tracing::info!(%device_id, merchant_id = %by.merchant_id, user_id = %by.user_id, "device claimed");
                    return Ok(Created::New(device_id, body));
                }
                Err(SaveError::Conflict) => {}
                // A claim changes neither merchant nor location, and a claimed device does not wait with its code.
                Err(impossible @ (SaveError::CodeTaken | SaveError::UnknownMerchant | SaveError::UnknownLocation)) => {
                    return Err(StorageError::Fault(impossible.into()).into());
                }
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
        let Some(code) = attempt.code else {
            return refuse(Refusal::not_found(None));
        };
        if let Some(device) = self.devices.find_by_pairing_code(code).await? {
            if !attempt.names(device.id()) {
                return refuse(Refusal::not_found(Some(device.id().clone())));
            }
            let (device_id, is_own) = (device.id().clone(), device.merchant_id() == by.merchant_id);
            return match device.claim(code, by, attempt.context, now) {
                Ok(transition) => Ok(Decision::Claim(Box::new(transition))),
                Err(ClaimRefusal::AlreadyUsed) => refuse(Refusal::used(device_id, is_own)),
                Err(reason) => refuse(Refusal::of(reason, device_id)),
            };
        }
        refuse(match self.devices.find_past_code(code).await? {
            None => Refusal::not_found(None),
            Some(PastCode { device_id, .. }) if !attempt.names(&device_id) => Refusal::not_found(Some(device_id)),
            Some(PastCode { end: CodeEnd::Used, device_id, .. }) => {
                let device = self.devices.find(&device_id).await?;
                Refusal::used(device_id, device.is_some_and(|device| device.merchant_id() == by.merchant_id))
            }
            Some(PastCode { end: CodeEnd::Superseded, device_id, .. }) => Refusal::of(ClaimRefusal::Expired, device_id),
        })
    }
}

impl Decision {
    /// Device of the code.
    fn device_id(&self) -> Option<DeviceId> {
        match self {
            Self::Claim(transition) => Some(transition.device().id().clone()),
            Self::Refuse(refusal) => refusal.device_id.clone(),
        }
    }
}

impl ClaimAttempt {
    /// Whether the attempt names this device or none.
    fn names(&self, device_id: &DeviceId) -> bool {
        self.device_id.as_ref().is_none_or(|expected| expected == device_id.as_str())
    }
}
