use std::sync::Arc;

use pos_domain::{Action, AuditEvent, AuditKind, Merchant, MerchantId, Name, Party, Subject, reseller_text};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{AddPartyError, DirectoryRepository, MerchantPage, StorageError};

use super::{Created, FleetError, KeyedCall, Mandate, Page, answers};
use crate::MAX_ATTEMPTS;
use crate::draw;

/// What a reseller does with its merchants: makes them known, shows them, gives them other names.
pub struct ManageMerchants {
    directory: Arc<dyn DirectoryRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ManageMerchants {
    /// Ids are drawn from `entropy`, and never chosen by a reseller: another's tokens may name the id already.
    #[must_use]
    pub fn new(directory: Arc<dyn DirectoryRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { directory, clock, entropy }
    }

    /// The mandate of a reseller, narrowed to one of its merchants.
    ///
    /// # Errors
    /// [`FleetError::UnknownMerchant`] when it has no merchant of this id.
    pub async fn mandate(&self, mandate: &Mandate, id: MerchantId) -> Result<Mandate, FleetError> {
        Ok(mandate.clone().over(&self.find(mandate, id).await?))
    }

    /// Makes a merchant of the mandate's reseller known; a call with a key makes one, however often it is sent.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::Forbidden`] for anybody but a reseller.
    pub async fn add(
        &self,
        mandate: &Mandate,
        name: &Name,
        call: Option<KeyedCall<'_, Merchant>>,
    ) -> Result<Created<Merchant>, FleetError> {
        mandate.permit(Action::CreateMerchant)?;
        let reseller = mandate.party().and_then(Party::reseller).ok_or(FleetError::Forbidden)?;
        let now = self.clock.now();
        if let Some(earlier) = answers::earlier(call.as_ref(), mandate, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = MerchantId(draw::uuid(&*self.entropy));
            let merchant = Merchant { id, name: name.clone(), reseller: Some(reseller), created_at: now };
            let once = answers::once(call.as_ref(), mandate, &merchant, now)?;
            let told = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), mandate.act().clone(), now)
                .for_merchant(id)
                .with("reseller", reseller_text(Some(reseller)));
            match self.directory.add_merchant(&merchant, once.as_ref(), &told).await {
                Ok(()) => {
                    tracing::info!(merchant_id = %id, actor = %mandate.act().actor, "merchant added");
                    return Ok(Created::Now(merchant));
                }
                Err(AddPartyError::Answered(kept)) => return answers::told_again(call.as_ref(), kept),
                Err(AddPartyError::Taken) => {}
                Err(AddPartyError::UnknownReseller) => {
                    return Err(StorageError::Fault("the session's reseller has no row".into()).into());
                }
                Err(AddPartyError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// One merchant.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, mandate: &Mandate, id: MerchantId) -> Result<Merchant, FleetError> {
        let merchant = self.find(mandate, id).await?;
        mandate.clone().over(&merchant).permit(Action::ViewMerchant)?;
        Ok(merchant)
    }

    /// Gives a merchant another name, if there is one, and answers it as it is afterwards. The same name changes nothing
    /// and goes on no record.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn amend(&self, mandate: &Mandate, id: MerchantId, name: Option<&Name>) -> Result<Merchant, FleetError> {
        let merchant = self.find(mandate, id).await?;
        mandate.clone().over(&merchant).permit(Action::EditMerchant)?;
        let Some(name) = name.filter(|name| **name != merchant.name) else {
            return Ok(merchant);
        };
        let (act, now) = (mandate.act().clone(), self.clock.now());
        let told = AuditEvent::of(AuditKind::MerchantAmended, Subject::Merchant(id), act, now)
            .for_merchant(id)
            .with("name", name);
        let renamed = self.directory.rename_merchant(mandate.scope(), id, name, &told).await?;
        let renamed = renamed.ok_or(FleetError::UnknownMerchant)?;
        tracing::info!(merchant_id = %id, actor = %mandate.act().actor, "merchant renamed");
        Ok(renamed)
    }

    /// The merchants that the mandate's scope sees, in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        mandate: &Mandate,
        after: Option<MerchantId>,
        limit: u32,
    ) -> Result<Page<Merchant>, FleetError> {
        mandate.permit(Action::ViewMerchant)?;
        let page = MerchantPage { scope: mandate.scope(), after, limit: limit.saturating_add(1) };
        Ok(Page::of(self.directory.list_merchants(&page).await?, limit))
    }

    async fn find(&self, mandate: &Mandate, id: MerchantId) -> Result<Merchant, FleetError> {
        let found = self.directory.find_merchant(mandate.scope(), id).await?;
        found.filter(|merchant| mandate.covers(merchant.id)).ok_or(FleetError::UnknownMerchant)
    }
}
