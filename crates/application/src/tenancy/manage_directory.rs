use std::sync::Arc;

use pos_domain::{
    Act, AuditEvent, AuditKind, Merchant, MerchantId, Name, Reseller, ResellerId, Subject, reseller_text,
};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{AddPartyError, DirectoryRepository};

use crate::draw;

/// Makes resellers and merchants known.
pub struct ManageDirectory {
    directory: Arc<dyn DirectoryRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Why a reseller or a merchant was not made known.
#[derive(Debug, thiserror::Error)]
pub enum ManageDirectoryError {
    /// See [`AddPartyError`].
    #[error(transparent)]
    NotAdded(#[from] AddPartyError),
}

impl ManageDirectory {
    /// Ids that nobody names are drawn from `entropy`.
    #[must_use]
    pub fn new(directory: Arc<dyn DirectoryRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { directory, clock, entropy }
    }

    /// Makes a reseller known, under a given id or a fresh one, and answers it.
    ///
    /// # Errors
    /// [`ManageDirectoryError`].
    pub async fn add_reseller(
        &self,
        name: Name,
        id: Option<ResellerId>,
        by: Act,
    ) -> Result<Reseller, ManageDirectoryError> {
        let id = id.unwrap_or_else(|| ResellerId(draw::uuid(&*self.entropy)));
        let reseller = Reseller { id, name, created_at: self.clock.now() };
        let told = AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), by, reseller.created_at);
        self.directory.add_reseller(&reseller, &told).await?;
        tracing::info!(reseller_id = %id, "reseller added");
        Ok(reseller)
    }

    /// Makes a merchant known, of a reseller if one is named, under a given id or a fresh one, and answers it.
    ///
    /// # Errors
    /// [`ManageDirectoryError`].
    pub async fn add_merchant(
        &self,
        name: Name,
        reseller: Option<ResellerId>,
        id: Option<MerchantId>,
        by: Act,
    ) -> Result<Merchant, ManageDirectoryError> {
        let id = id.unwrap_or_else(|| MerchantId(draw::uuid(&*self.entropy)));
        let merchant = Merchant { id, name, reseller, created_at: self.clock.now() };
        let told = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), by, merchant.created_at);
        let told = told.for_merchant(id).with("reseller", reseller_text(reseller));
        self.directory.add_merchant(&merchant, None, &told).await?;
        tracing::info!(merchant_id = %id, "merchant added");
        Ok(merchant)
    }
}
