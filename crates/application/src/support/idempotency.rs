//! Idempotency keys of creating requests and claims.

use std::sync::Arc;

use pos_domain::shared::{Fingerprint, IdempotencyKey, Party};
use pos_port_storage::shared::{IdempotencyRecord, IdempotencyRepository, StoredResponse};
use time::{Duration, OffsetDateTime};

use crate::support::response::Encode;
use crate::support::{FleetError, ResponseEncoder};

/// Stores the responses of creating requests and claims, so that a repeated request changes nothing and gets the same
/// response.
#[derive(Clone)]
pub struct Idempotency {
    repository: Arc<dyn IdempotencyRepository>,
    retention: Duration,
}

/// Idempotency key of a request, with the request's fingerprint.
pub(crate) struct RequestKey<'a> {
    idempotency: &'a Idempotency,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
}

impl Idempotency {
    /// Creates the store of responses; each is stored for `retention`.
    #[must_use]
    pub(crate) fn new(repository: Arc<dyn IdempotencyRepository>, retention: Duration) -> Self {
        Self { repository, retention }
    }

    /// Creates the encoder of the response to a request with a key. The body is stored as it is encoded.
    #[must_use]
    pub fn keyed<T>(&self, key: IdempotencyKey, fingerprint: Fingerprint, encode: Encode<T>) -> ResponseEncoder<'_, T> {
        ResponseEncoder { encode, key: Some(RequestKey { idempotency: self, key, fingerprint }) }
    }
}

impl RequestKey<'_> {
    /// The key as sent.
    pub(crate) fn key(&self) -> &IdempotencyKey {
        &self.key
    }

    /// Returns the body of the response to an earlier request with this key of `party`, if there is one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] if that request had another fingerprint.
    pub(crate) async fn find_earlier(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<String>, FleetError> {
        let stored = self.idempotency.repository.find(party, key, now).await?;
        stored.map(|stored| self.replay(stored)).transpose()
    }

    /// Returns the body of the response that the store found.
    pub(crate) fn replay(&self, stored: StoredResponse) -> Result<String, FleetError> {
        if stored.fingerprint == self.fingerprint { Ok(stored.answer) } else { Err(FleetError::KeyReused) }
    }

    /// Builds the record that stores a body under a key of `party`.
    pub(crate) fn record(
        &self,
        party: Party,
        key: IdempotencyKey,
        body: String,
        now: OffsetDateTime,
    ) -> IdempotencyRecord {
        IdempotencyRecord {
            party,
            key,
            fingerprint: self.fingerprint,
            answer: body,
            at: now,
            expires_at: now.saturating_add(self.idempotency.retention),
        }
    }
}
