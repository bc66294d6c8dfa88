//! Use cases: API clients and their secrets.

use std::error::Error;
use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{ApiClientId, AuditContext, GrantId, Party, Role};
use pos_domain::tenancy::{ApiClient, SecretHash};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{ApiClientRepository, GrantError};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::support::random;

/// Adds and revokes API clients, and rotates their secrets.
pub struct ManageClients {
    clients: Arc<dyn ApiClientRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A new secret: 256 random bits as 64 hex digits. Shown once; only its hash is stored.
#[derive(Debug)]
pub struct NewSecret {
    /// Client of the secret.
    pub client_id: ApiClientId,
    /// The secret.
    pub secret: SecretString,
}

/// Why a client was not added or changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageClientsError {
    /// The grant was refused.
    #[error(transparent)]
    NotGiven(#[from] GrantError),
    /// No active client has this id.
    #[error("there is no such client, or it is revoked")]
    UnknownClient,
    /// The secret could not be printed, so nothing was stored.
    #[error("the secret could not be printed, so nothing was changed")]
    NotShown(#[source] Box<dyn Error + Send + Sync>),
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ManageClients {
    /// Creates the use case; ids and secrets are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(clients: Arc<dyn ApiClientRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clients, clock, entropy }
    }

    /// Adds a client of a party, with the given or a generated id. `reveal` shows the secret before it is stored: a shown secret
    /// that was not stored does no harm, a stored secret that was not shown does.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn add(
        &self,
        id: Option<ApiClientId>,
        party: Party,
        role: Role,
        by: AuditContext,
        reveal: impl FnOnce(&NewSecret) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<NewSecret, ManageClientsError> {
        let id = match id {
            Some(id) if self.clients.find(&id).await?.is_some() => return Err(GrantError::Taken.into()),
            Some(id) => id,
            None => ApiClientId::parse(&format!("pos-{}", random::hex::<8>(&*self.entropy)))
                .map_err(|_| ManageClientsError::UnknownClient)?,
        };
        let secret = self.secret();
        let hash = SecretHash::of_secret(secret.expose_secret());
        let grant = GrantId(random::uuid(&*self.entropy));
        let client = ApiClient { id, grant, party, role, created_at: self.clock.now(), revoked_at: None };
        let audit = of_client(AuditKind::ClientAdded, &client.id, party, by, client.created_at).with("role", role);
        let new = NewSecret { client_id: client.id.clone(), secret };
        reveal(&new).map_err(ManageClientsError::NotShown)?;
        self.clients.add(&client, &hash, &audit).await?;
        tracing::info!(client_id = %client.id, %party, %role, "API client added");
        Ok(new)
    }

    /// Replaces the secret of a client. `reveal` shows the new one before it is stored. The old one becomes void, and the
    /// client's sessions end.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn rotate(
        &self,
        id: &ApiClientId,
        by: AuditContext,
        reveal: impl FnOnce(&NewSecret) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<NewSecret, ManageClientsError> {
        let party = self.party_of(id).await?;
        let secret = self.secret();
        let hash = SecretHash::of_secret(secret.expose_secret());
        let new = NewSecret { client_id: id.clone(), secret };
        reveal(&new).map_err(ManageClientsError::NotShown)?;
        let audit = of_client(AuditKind::ClientRotated, id, party, by, self.clock.now());
        if !self.clients.rotate(id, GrantId(random::uuid(&*self.entropy)), &hash, &audit).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client's secret rotated");
        Ok(new)
    }

    /// Revokes a client permanently. Its sessions end.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn revoke(&self, id: &ApiClientId, by: AuditContext) -> Result<(), ManageClientsError> {
        let (party, now) = (self.party_of(id).await?, self.clock.now());
        let audit = of_client(AuditKind::ClientRevoked, id, party, by, now);
        if !self.clients.revoke(id, now, &audit).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client revoked");
        Ok(())
    }

    /// Party of an active client. It never changes.
    async fn party_of(&self, id: &ApiClientId) -> Result<Party, ManageClientsError> {
        let found = self.clients.find(id).await?;
        let (client, _) =
            found.filter(|(client, _)| client.revoked_at.is_none()).ok_or(ManageClientsError::UnknownClient)?;
        Ok(client.party)
    }

    fn secret(&self) -> SecretString {
        SecretString::from(random::hex::<32>(&*self.entropy))
    }
}

fn of_client(kind: AuditKind, id: &ApiClientId, party: Party, by: AuditContext, at: OffsetDateTime) -> AuditEvent {
    AuditEvent::of(kind, Subject::Client(id.clone()), by, at)
        .for_merchant(party.merchant())
        .with("party", Subject::from(party))
}
