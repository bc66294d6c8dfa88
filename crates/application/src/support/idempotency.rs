//! Idempotency keys of creating requests and claims.

use std::error::Error;
use std::sync::Arc;

use pos_domain::shared::Claimant;
use pos_domain::shared::{DeviceId, Fingerprint, IdempotencyKey, Party};
use pos_port_storage::shared::{IdempotencyRecord, IdempotencyRepository, StoredResponse};
use time::{Duration, OffsetDateTime};

use crate::support::{Authorization, FleetError};

/// Stores the responses of creating requests and claims, so that a repeated request changes nothing and gets the same
/// response.
#[derive(Clone)]
pub struct Idempotency {
    repository: Arc<dyn IdempotencyRepository>,
    retention: Duration,
}

/// Why a response could not be serialized.
pub type SerializeError = Box<dyn Error + Send + Sync>;

/// Idempotency key of a creating request or a claim, with the request's fingerprint and the serializer of its response.
pub struct IdempotentRequest<'a, T> {
    idempotency: &'a Idempotency,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    serialize: fn(&T) -> Result<String, SerializeError>,
}

/// Result of a creating request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// This request created it.
    New(T),
    /// An earlier request with the same key created it; this is the response of that request.
    Replayed(String),
}

impl Idempotency {
    /// Creates the store of responses; each is stored for `retention`.
    #[must_use]
    pub fn new(repository: Arc<dyn IdempotencyRepository>, retention: Duration) -> Self {
        Self { repository, retention }
    }

    /// Creates a request with a key. The output of `serialize` is the stored response.
    #[must_use]
    pub fn keyed<T>(
        &self,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        serialize: fn(&T) -> Result<String, SerializeError>,
    ) -> IdempotentRequest<'_, T> {
        IdempotentRequest { idempotency: self, key, fingerprint, serialize }
    }
}

impl<T> IdempotentRequest<'_, T> {
    /// Returns the response of an earlier request with this key, if there is one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] if that request had another fingerprint.
    pub(crate) async fn find_earlier(
        &self,
        authorization: &Authorization,
        now: OffsetDateTime,
    ) -> Result<Option<Created<T>>, FleetError> {
        let Some(party) = authorization.party() else {
            return Ok(None);
        };
        let stored = self.idempotency.repository.find(party, &self.key, now).await?;
        stored.map(|stored| self.replay(stored)).transpose()
    }

    /// Replays the response that the store found.
    pub(crate) fn replay(&self, stored: StoredResponse) -> Result<Created<T>, FleetError> {
        if stored.fingerprint == self.fingerprint {
            Ok(Created::Replayed(stored.answer))
        } else {
            Err(FleetError::KeyReused)
        }
    }

    /// Builds the record to store with `new`; `None` for an operator, who has no party.
    pub(crate) fn record(
        &self,
        authorization: &Authorization,
        new: &T,
        now: OffsetDateTime,
    ) -> Result<Option<IdempotencyRecord>, FleetError> {
        let Some(party) = authorization.party() else {
            return Ok(None);
        };
        Ok(Some(IdempotencyRecord {
            party,
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            answer: (self.serialize)(new).map_err(FleetError::Answer)?,
            at: now,
            expires_at: now.saturating_add(self.idempotency.retention),
        }))
    }
}

/// The key of a claim belongs to the claimant: one user, for one merchant.
impl IdempotentRequest<'_, DeviceId> {
    /// Returns the response of an earlier claim with this key, if there is one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] if that claim had another fingerprint.
    pub(crate) async fn find_earlier_claim(
        &self,
        by: &Claimant,
        now: OffsetDateTime,
    ) -> Result<Option<Created<DeviceId>>, FleetError> {
        let (party, key) = self.claim_key(by);
        let stored = self.idempotency.repository.find(party, &key, now).await?;
        stored.map(|stored| self.replay(stored)).transpose()
    }

    /// Replays the response of a claim that the store found.
    pub(crate) fn replay_claim(&self, stored: StoredResponse) -> Result<Created<DeviceId>, FleetError> {
        self.replay(stored)
    }

    /// Builds the record to store with a claim of this device.
    pub(crate) fn claim_record(
        &self,
        by: &Claimant,
        device_id: &DeviceId,
        now: OffsetDateTime,
    ) -> Result<IdempotencyRecord, FleetError> {
        let (party, key) = self.claim_key(by);
        Ok(IdempotencyRecord {
            party,
            key,
            fingerprint: self.fingerprint,
            answer: (self.serialize)(device_id).map_err(FleetError::Answer)?,
            at: now,
            expires_at: now.saturating_add(self.idempotency.retention),
        })
    }

    fn claim_key(&self, by: &Claimant) -> (Party, IdempotencyKey) {
        (Party::Merchant(by.merchant_id), self.key.of_user(&by.user_id))
    }
}

/// [`IdempotentRequest::find_earlier`] of a request with an optional key.
pub(crate) async fn find_earlier<T>(
    call: Option<&IdempotentRequest<'_, T>>,
    authorization: &Authorization,
    now: OffsetDateTime,
) -> Result<Option<Created<T>>, FleetError> {
    match call {
        Some(call) => call.find_earlier(authorization, now).await,
        None => Ok(None),
    }
}

/// [`IdempotentRequest::record`] of a request with an optional key.
pub(crate) fn record<T>(
    call: Option<&IdempotentRequest<'_, T>>,
    authorization: &Authorization,
    new: &T,
    now: OffsetDateTime,
) -> Result<Option<IdempotencyRecord>, FleetError> {
    call.map_or(Ok(None), |call| call.record(authorization, new, now))
}

/// [`IdempotentRequest::replay`] of a request that must have a key, because the store found its response.
pub(crate) fn replay<T>(
    call: Option<&IdempotentRequest<'_, T>>,
    stored: StoredResponse,
) -> Result<Created<T>, FleetError> {
    let call = call.ok_or_else(|| FleetError::Answer("the store replayed a request that has no key".into()))?;
    call.replay(stored)
}
