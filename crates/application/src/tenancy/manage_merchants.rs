//! Use cases: merchants of a reseller.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject, reseller_text};
use pos_domain::shared::{MerchantId, Name, Party};
use pos_domain::tenancy::{Action, Merchant};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{AddPartyError, DirectoryRepository, MerchantPage};

use crate::support::MAX_ATTEMPTS;
use crate::support::random;
use crate::support::response::{self, Created};
use crate::support::{Authorization, EncodedResponse, FleetError, MerchantAuthorization, Page, ResponseEncoder};

/// Adds, lists and renames the merchants of a reseller.
pub struct ManageMerchants {
    directory: Arc<dyn DirectoryRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ManageMerchants {
    /// Creates the use case. Ids are generated from `entropy` and never chosen by a reseller, because tokens of another could
    /// name the id already.
    #[must_use]
    pub(crate) fn new(
        directory: Arc<dyn DirectoryRepository>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { directory, clock, entropy }
    }

    /// Narrows the authorization of a reseller to one of its merchants.
    ///
    /// # Errors
    /// [`FleetError::UnknownMerchant`] if the reseller has no merchant with this id.
    pub async fn authorization(
        &self,
        authorization: &Authorization,
        id: MerchantId,
    ) -> Result<MerchantAuthorization, FleetError> {
        Ok(authorization.clone().for_merchant(&self.find(authorization, id).await?))
    }

    /// Adds a merchant of the caller's reseller.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::Forbidden`] for any caller but a reseller.
    pub async fn add(&self, authorization: &Authorization, name: &Name) -> Result<Merchant, FleetError> {
        self.create(authorization, name, None).await?.into_created()
    }

    /// Like [`Self::add`], and returns the encoded response. A request with a key adds the merchant once, however often it
    /// is repeated.
    ///
    /// # Errors
    /// As [`Self::add`]; [`FleetError::KeyReused`].
    pub async fn add_encoded(
        &self,
        authorization: &Authorization,
        name: &Name,
        encoder: ResponseEncoder<'_, Merchant>,
    ) -> Result<EncodedResponse, FleetError> {
        self.create(authorization, name, Some(&encoder)).await?.into_response()
    }

    async fn create(
        &self,
        authorization: &Authorization,
        name: &Name,
        encoder: Option<&ResponseEncoder<'_, Merchant>>,
    ) -> Result<Created<Merchant>, FleetError> {
        authorization.authorize(Action::CreateMerchant)?;
        let reseller = authorization.party().and_then(Party::reseller).ok_or(FleetError::Forbidden)?;
        let now = self.clock.now();
        if let Some(earlier) = response::find_earlier(encoder, authorization, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = MerchantId(random::uuid(&*self.entropy));
            let merchant = Merchant { id, name: name.clone(), reseller: Some(reseller), created_at: now };
            let encoded = response::encode(encoder, authorization, &merchant, now)?;
            let audit = AuditEvent::of(
                AuditKind::MerchantAdded,
                Subject::Merchant(id),
                authorization.audit_context().clone(),
                now,
            )
            .for_merchant(id)
            .with("reseller", reseller_text(Some(reseller)));
            match self.directory.add_merchant(&merchant, encoded.record.as_ref(), &audit).await {
                Ok(()) => {
                    tracing::info!(merchant_id = %id, actor = %authorization.audit_context().actor, "merchant added");
                    return Ok(Created::New(merchant, encoded.body));
                }
                Err(AddPartyError::Answered(stored)) => return response::replay(encoder, stored),
                Err(AddPartyError::Taken) => {}
                Err(AddPartyError::UnknownReseller) => {
                    return Err(StorageError::Fault("the session's reseller does not exist".into()).into());
                }
                Err(AddPartyError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// Returns a merchant.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, authorization: &Authorization, id: MerchantId) -> Result<Merchant, FleetError> {
        let merchant = self.find(authorization, id).await?;
        authorization.clone().for_merchant(&merchant).authorize(Action::ViewMerchant)?;
        Ok(merchant)
    }

    /// Renames a merchant if `name` is given, and returns it. The same name changes nothing and is not audited.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn update(
        &self,
        authorization: &Authorization,
        id: MerchantId,
        name: Option<&Name>,
    ) -> Result<Merchant, FleetError> {
        let merchant = self.find(authorization, id).await?;
        authorization.clone().for_merchant(&merchant).authorize(Action::EditMerchant)?;
        let Some(name) = name.filter(|name| **name != merchant.name) else {
            return Ok(merchant);
        };
        let (audit_context, now) = (authorization.audit_context().clone(), self.clock.now());
        let audit = AuditEvent::of(AuditKind::MerchantUpdated, Subject::Merchant(id), audit_context, now)
            .for_merchant(id)
            .with("name", name);
        let renamed = self.directory.rename_merchant(authorization.scope(), id, name, &audit).await?;
        let renamed = renamed.ok_or(FleetError::UnknownMerchant)?;
        tracing::info!(merchant_id = %id, actor = %authorization.audit_context().actor, "merchant renamed");
        Ok(renamed)
    }

    /// Lists the merchants of the authorization's scope, ordered by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        authorization: &Authorization,
        after: Option<MerchantId>,
        limit: u32,
    ) -> Result<Page<Merchant>, FleetError> {
        authorization.authorize(Action::ViewMerchant)?;
        let page = MerchantPage { scope: authorization.scope(), after, limit: limit.saturating_add(1) };
        Ok(Page::of(self.directory.list_merchants(&page).await?, limit))
    }

    async fn find(&self, authorization: &Authorization, id: MerchantId) -> Result<Merchant, FleetError> {
        let found = self.directory.find_merchant(authorization.scope(), id).await?;
        found.filter(|merchant| authorization.allows(merchant.id)).ok_or(FleetError::UnknownMerchant)
    }
}
