//! Encoded responses of creating requests and claims: encoded once, stored under the idempotency key, and sent.

use std::error::Error;

use pos_domain::shared::{Claimant, DeviceId, IdempotencyKey, Party};
use pos_port_storage::shared::{IdempotencyRecord, StoredResponse};
use time::OffsetDateTime;

use crate::support::idempotency::RequestKey;
use crate::support::{Authorization, FleetError};

/// Why a response could not be serialized.
pub type SerializeError = Box<dyn Error + Send + Sync>;

/// Encodes the body of a response.
pub type Encode<T> = fn(&T) -> Result<String, SerializeError>;

/// Encoder of the response to a creating request or a claim, with the request's idempotency key if it has one.
pub struct ResponseEncoder<'a, T> {
    pub(crate) encode: Encode<T>,
    pub(crate) key: Option<RequestKey<'a>>,
}

/// Response to a creating request or a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodedResponse {
    /// Body of the response to this request, as it was stored if the request has a key.
    New(String),
    /// Stored body of the response to an earlier request with the same key.
    Replayed(String),
}

/// Result of a creating request or a claim.
pub(crate) enum Created<T> {
    /// This request created it. The body is encoded if there is an encoder.
    New(T, Option<String>),
    /// Stored body of the response to an earlier request with the same key.
    Replayed(String),
}

/// Encoded body, and the record that stores it. Both are `None` without an encoder, the record also without a key.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) body: Option<String>,
    pub(crate) record: Option<IdempotencyRecord>,
}

impl<T> Created<T> {
    /// Returns what a request without an encoder created.
    pub(crate) fn into_created(self) -> Result<T, FleetError> {
        match self {
            Self::New(created, _) => Ok(created),
            Self::Replayed(_) => Err(FleetError::Answer("replayed a request that has no key".into())),
        }
    }

    /// Returns the response to a request with an encoder.
    pub(crate) fn into_response(self) -> Result<EncodedResponse, FleetError> {
        match self {
            Self::New(_, body) => {
                body.map(EncodedResponse::New).ok_or_else(|| FleetError::Answer("the response was not encoded".into()))
            }
            Self::Replayed(body) => Ok(EncodedResponse::Replayed(body)),
        }
    }
}

impl<T> ResponseEncoder<'_, T> {
    /// Creates the encoder of the response to a request without a key.
    #[must_use]
    pub fn without_key(encode: Encode<T>) -> Self {
        Self { encode, key: None }
    }

    /// Returns the response to an earlier request with this key, if there is one. An operator has no keys.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] if that request had another fingerprint.
    pub(crate) async fn find_earlier(
        &self,
        authorization: &Authorization,
        now: OffsetDateTime,
    ) -> Result<Option<Created<T>>, FleetError> {
        let (Some(request), Some(party)) = (&self.key, authorization.party()) else { return Ok(None) };
        Ok(request.find_earlier(party, request.key(), now).await?.map(Created::Replayed))
    }

    /// Encodes the response to a request that created `new`.
    pub(crate) fn encode(
        &self,
        authorization: &Authorization,
        new: &T,
        now: OffsetDateTime,
    ) -> Result<Encoded, FleetError> {
        let body = (self.encode)(new).map_err(FleetError::Answer)?;
        let owner = self.key.as_ref().zip(authorization.party());
        let record = owner.map(|(request, party)| request.record(party, request.key().clone(), body.clone(), now));
        Ok(Encoded { body: Some(body), record })
    }

    /// Replays the response that the store found.
    pub(crate) fn replay(&self, stored: StoredResponse) -> Result<Created<T>, FleetError> {
        let without_key = || FleetError::Answer("the store replayed a request that has no key".into());
        Ok(Created::Replayed(self.key.as_ref().ok_or_else(without_key)?.replay(stored)?))
    }
}

/// The key of a claim belongs to the claimant: one user, for one merchant.
impl ResponseEncoder<'_, DeviceId> {
    /// Returns the response to an earlier claim with this key, if there is one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] if that claim had another fingerprint.
    pub(crate) async fn find_earlier_claim(
        &self,
        by: &Claimant,
        now: OffsetDateTime,
    ) -> Result<Option<Created<DeviceId>>, FleetError> {
        let Some(request) = &self.key else { return Ok(None) };
        let (party, key) = claim_key(request, by);
        Ok(request.find_earlier(party, &key, now).await?.map(Created::Replayed))
    }

    /// Encodes the response to a claim of this device.
    pub(crate) fn encode_claim(
        &self,
        by: &Claimant,
        device_id: &DeviceId,
        now: OffsetDateTime,
    ) -> Result<Encoded, FleetError> {
        let body = (self.encode)(device_id).map_err(FleetError::Answer)?;
        let record = self.key.as_ref().map(|request| {
            let (party, key) = claim_key(request, by);
            request.record(party, key, body.clone(), now)
        });
        Ok(Encoded { body: Some(body), record })
    }
}

fn claim_key(request: &RequestKey<'_>, by: &Claimant) -> (Party, IdempotencyKey) {
    (Party::Merchant(by.merchant_id), request.key().of_user(&by.user_id))
}

/// [`ResponseEncoder::find_earlier`] of a request with an optional encoder.
pub(crate) async fn find_earlier<T>(
    encoder: Option<&ResponseEncoder<'_, T>>,
    authorization: &Authorization,
    now: OffsetDateTime,
) -> Result<Option<Created<T>>, FleetError> {
    match encoder {
        Some(encoder) => encoder.find_earlier(authorization, now).await,
        None => Ok(None),
    }
}

/// [`ResponseEncoder::encode`] of a request with an optional encoder.
pub(crate) fn encode<T>(
    encoder: Option<&ResponseEncoder<'_, T>>,
    authorization: &Authorization,
    new: &T,
    now: OffsetDateTime,
) -> Result<Encoded, FleetError> {
    encoder.map_or_else(|| Ok(Encoded::default()), |encoder| encoder.encode(authorization, new, now))
}

/// [`ResponseEncoder::replay`] of a request that must have an encoder, because the store found its response.
pub(crate) fn replay<T>(
    encoder: Option<&ResponseEncoder<'_, T>>,
    stored: StoredResponse,
) -> Result<Created<T>, FleetError> {
    let encoder = encoder.ok_or_else(|| FleetError::Answer("the store replayed a request that has no key".into()))?;
    encoder.replay(stored)
}
