//! Use cases: resellers and merchants, for operators.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject, reseller_text};
use pos_domain::shared::{AuditContext, MerchantId, Name, ResellerId};
use pos_domain::tenancy::{Merchant, Reseller};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::tenancy::{AddPartyError, DirectoryRepository};

use crate::support::random;

/// Adds resellers and merchants.
pub struct ManageDirectory {
    directory: Arc<dyn DirectoryRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Why a reseller or a merchant was not added.
#[derive(Debug, thiserror::Error)]
pub enum ManageDirectoryError {
    /// The store refused it.
    #[error(transparent)]
    NotAdded(#[from] AddPartyError),
}

impl ManageDirectory {
    /// Creates the use case; ids that are not given are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(
        directory: Arc<dyn DirectoryRepository>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { directory, clock, entropy }
    }

    /// Adds a reseller, with the given or a generated id, and returns it.
    ///
    /// # Errors
    /// [`ManageDirectoryError`].
    pub async fn add_reseller(
        &self,
        name: Name,
        id: Option<ResellerId>,
        by: AuditContext,
    ) -> Result<Reseller, ManageDirectoryError> {
        let id = id.unwrap_or_else(|| ResellerId(random::uuid(&*self.entropy)));
        let reseller = Reseller { id, name, created_at: self.clock.now() };
        let audit = AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(id), by, reseller.created_at);
        self.directory.add_reseller(&reseller, &audit).await?;
        tracing::info!(reseller_id = %id, "reseller added");
        Ok(reseller)
    }

    /// Adds a merchant, optionally of a reseller, with the given or a generated id, and returns it.
    ///
    /// # Errors
    /// [`ManageDirectoryError`].
    pub async fn add_merchant(
        &self,
        name: Name,
        reseller: Option<ResellerId>,
        id: Option<MerchantId>,
        by: AuditContext,
    ) -> Result<Merchant, ManageDirectoryError> {
        let id = id.unwrap_or_else(|| MerchantId(random::uuid(&*self.entropy)));
        let merchant = Merchant { id, name, reseller, created_at: self.clock.now() };
        let audit = AuditEvent::of(AuditKind::MerchantAdded, Subject::Merchant(id), by, merchant.created_at);
        let audit = audit.for_merchant(id).with("reseller", reseller_text(reseller));
        self.directory.add_merchant(&merchant, None, &audit).await?;
        tracing::info!(merchant_id = %id, "merchant added");
        Ok(merchant)
    }
}
