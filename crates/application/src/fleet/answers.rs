use std::error::Error;
use std::sync::Arc;

use pos_domain::{Claimant, DeviceId, Fingerprint, IdempotencyKey, Party};
use pos_port_storage::{AnswerRepository, KeptAnswer, Once};
use time::{Duration, OffsetDateTime};

use super::{FleetError, Mandate};

/// Remembers what creating calls and claims were answered, so that a call that is sent again changes nothing and is told
/// the same.
#[derive(Clone)]
pub struct Answers {
    kept: Arc<dyn AnswerRepository>,
    keep: Duration,
}

/// Why an answer could not be put into words.
pub type NoAnswer = Box<dyn Error + Send + Sync>;

/// The caller's name for a creating call or a claim, what the call asks for, and how its answer is put into words.
pub struct KeyedCall<'a, T> {
    answers: &'a Answers,
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    answer: fn(&T) -> Result<String, NoAnswer>,
}

/// What came of a creating call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// It was created just now.
    Now(T),
    /// An earlier call with the same key created it; this is what that call was told.
    Before(String),
}

impl Answers {
    /// Keeps each answer for `keep`.
    #[must_use]
    pub fn new(kept: Arc<dyn AnswerRepository>, keep: Duration) -> Self {
        Self { kept, keep }
    }

    /// A call with a key. What `answer` says of the new thing is what is kept.
    #[must_use]
    pub fn keyed<T>(
        &self,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        answer: fn(&T) -> Result<String, NoAnswer>,
    ) -> KeyedCall<'_, T> {
        KeyedCall { answers: self, key, fingerprint, answer }
    }
}

impl<T> KeyedCall<'_, T> {
    /// What an earlier call with this key was told, if there was one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] when that call asked for something else.
    pub(super) async fn earlier(
        &self,
        mandate: &Mandate,
        now: OffsetDateTime,
    ) -> Result<Option<Created<T>>, FleetError> {
        let Some(party) = mandate.party() else {
            return Ok(None);
        };
        let kept = self.answers.kept.find(party, &self.key, now).await?;
        kept.map(|kept| self.told_again(kept)).transpose()
    }

    /// The same, when the store found the earlier call.
    pub(super) fn told_again(&self, kept: KeptAnswer) -> Result<Created<T>, FleetError> {
        if kept.fingerprint == self.fingerprint { Ok(Created::Before(kept.answer)) } else { Err(FleetError::KeyReused) }
    }

    /// What the store is to keep with `new`; nothing for an operator, who is no party.
    pub(super) fn once(&self, mandate: &Mandate, new: &T, now: OffsetDateTime) -> Result<Option<Once>, FleetError> {
        let Some(party) = mandate.party() else {
            return Ok(None);
        };
        Ok(Some(Once {
            party,
            key: self.key.clone(),
            fingerprint: self.fingerprint,
            answer: (self.answer)(new).map_err(FleetError::Answer)?,
            at: now,
            keep_until: now.saturating_add(self.answers.keep),
        }))
    }
}

/// A claim's key is the claimant's own: a user's, in the name of one merchant.
impl KeyedCall<'_, DeviceId> {
    /// What an earlier claim with this key was told, if there was one.
    ///
    /// # Errors
    /// [`FleetError::KeyReused`] when that claim asked for something else.
    pub(crate) async fn earlier_claim(
        &self,
        by: &Claimant,
        now: OffsetDateTime,
    ) -> Result<Option<Created<DeviceId>>, FleetError> {
        let (party, key) = self.of_claimant(by);
        let kept = self.answers.kept.find(party, &key, now).await?;
        kept.map(|kept| self.told_again(kept)).transpose()
    }

    /// The same, when the store found the earlier claim.
    pub(crate) fn claimed_before(&self, kept: KeptAnswer) -> Result<Created<DeviceId>, FleetError> {
        self.told_again(kept)
    }

    /// What the store is to keep with a claim of this device.
    pub(crate) fn once_claimed(
        &self,
        by: &Claimant,
        device_id: &DeviceId,
        now: OffsetDateTime,
    ) -> Result<Once, FleetError> {
        let (party, key) = self.of_claimant(by);
        Ok(Once {
            party,
            key,
            fingerprint: self.fingerprint,
            answer: (self.answer)(device_id).map_err(FleetError::Answer)?,
            at: now,
            keep_until: now.saturating_add(self.answers.keep),
        })
    }

    fn of_claimant(&self, by: &Claimant) -> (Party, IdempotencyKey) {
        (Party::Merchant(by.merchant_id), self.key.of_user(&by.user_id))
    }
}

/// [`KeyedCall::earlier`] of a call that may have no key.
pub(super) async fn earlier<T>(
    call: Option<&KeyedCall<'_, T>>,
    mandate: &Mandate,
    now: OffsetDateTime,
) -> Result<Option<Created<T>>, FleetError> {
    match call {
        Some(call) => call.earlier(mandate, now).await,
        None => Ok(None),
    }
}

/// [`KeyedCall::once`] of a call that may have no key.
pub(super) fn once<T>(
    call: Option<&KeyedCall<'_, T>>,
    mandate: &Mandate,
    new: &T,
    now: OffsetDateTime,
) -> Result<Option<Once>, FleetError> {
    call.map_or(Ok(None), |call| call.once(mandate, new, now))
}

/// [`KeyedCall::told_again`] of a call that must have a key, as the store found it.
pub(super) fn told_again<T>(call: Option<&KeyedCall<'_, T>>, kept: KeptAnswer) -> Result<Created<T>, FleetError> {
    let call = call.ok_or_else(|| FleetError::Answer("the store answered a call that has no key".into()))?;
    call.told_again(kept)
}
