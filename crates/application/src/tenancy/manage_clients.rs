use std::error::Error;
use std::sync::Arc;

use pos_domain::{Act, ApiClient, ApiClientId, AuditEvent, AuditKind, GrantId, Party, Role, SecretHash, Subject};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{ApiClientRepository, GrantError, StorageError};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;

use crate::draw;

/// Makes API clients, gives them other secrets, revokes them.
pub struct ManageClients {
    clients: Arc<dyn ApiClientRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A secret that was just drawn: 256 bits as 64 hex digits. To be shown once; only its hash is kept.
#[derive(Debug)]
pub struct NewSecret {
    /// Whose it is.
    pub client_id: ApiClientId,
    /// The secret.
    pub secret: SecretString,
}

/// Why a client was not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum ManageClientsError {
    /// See [`GrantError`].
    #[error(transparent)]
    NotGiven(#[from] GrantError),
    /// No client that is not revoked has this id.
    #[error("there is no such client, or it is revoked")]
    UnknownClient,
    /// The secret could not be shown, so nothing was stored.
    #[error("the secret could not be shown, so nothing was changed")]
    NotShown(#[source] Box<dyn Error + Send + Sync>),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ManageClients {
    /// Ids and secrets are drawn from `entropy`.
    #[must_use]
    pub fn new(clients: Arc<dyn ApiClientRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clients, clock, entropy }
    }

    /// Makes a client of a party, under a given id or a fresh one. The secret is shown by `reveal` before it is stored:
    /// a secret that opens nothing harms nobody, one that nobody knows does.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn add(
        &self,
        id: Option<ApiClientId>,
        party: Party,
        role: Role,
        by: Act,
        reveal: impl FnOnce(&NewSecret) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<NewSecret, ManageClientsError> {
        let id = match id {
            Some(id) if self.clients.find(&id).await?.is_some() => return Err(GrantError::Taken.into()),
            Some(id) => id,
            None => ApiClientId::parse(&format!("pos-{}", draw::hex::<8>(&*self.entropy)))
                .map_err(|_| ManageClientsError::UnknownClient)?,
        };
        let secret = self.secret();
        let hash = SecretHash::of_secret(secret.expose_secret());
        let grant = GrantId(draw::uuid(&*self.entropy));
        let client = ApiClient { id, grant, party, role, created_at: self.clock.now(), revoked_at: None };
        let told = of_client(AuditKind::ClientAdded, &client.id, party, by, client.created_at).with("role", role);
        let new = NewSecret { client_id: client.id.clone(), secret };
        reveal(&new).map_err(ManageClientsError::NotShown)?;
        self.clients.add(&client, &hash, &told).await?;
        tracing::info!(client_id = %client.id, %party, %role, "API client added");
        Ok(new)
    }

    /// Gives a client another secret, which is shown by `reveal` before it is stored. The one before is void and its
    /// sessions are over.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn rotate(
        &self,
        id: &ApiClientId,
        by: Act,
        reveal: impl FnOnce(&NewSecret) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<NewSecret, ManageClientsError> {
        let party = self.party_of(id).await?;
        let secret = self.secret();
        let hash = SecretHash::of_secret(secret.expose_secret());
        let new = NewSecret { client_id: id.clone(), secret };
        reveal(&new).map_err(ManageClientsError::NotShown)?;
        let told = of_client(AuditKind::ClientRotated, id, party, by, self.clock.now());
        if !self.clients.rotate(id, GrantId(draw::uuid(&*self.entropy)), &hash, &told).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client's secret rotated");
        Ok(new)
    }

    /// Revokes a client for good. Its sessions are over.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn revoke(&self, id: &ApiClientId, by: Act) -> Result<(), ManageClientsError> {
        let (party, now) = (self.party_of(id).await?, self.clock.now());
        let told = of_client(AuditKind::ClientRevoked, id, party, by, now);
        if !self.clients.revoke(id, now, &told).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client revoked");
        Ok(())
    }

    /// Whose a client is that is not revoked. The party never changes.
    async fn party_of(&self, id: &ApiClientId) -> Result<Party, ManageClientsError> {
        let found = self.clients.find(id).await?;
        let (client, _) =
            found.filter(|(client, _)| client.revoked_at.is_none()).ok_or(ManageClientsError::UnknownClient)?;
        Ok(client.party)
    }

    fn secret(&self) -> SecretString {
        SecretString::from(draw::hex::<32>(&*self.entropy))
    }
}

fn of_client(kind: AuditKind, id: &ApiClientId, party: Party, by: Act, at: OffsetDateTime) -> AuditEvent {
    AuditEvent::of(kind, Subject::Client(id.clone()), by, at)
        .for_merchant(party.merchant())
        .with("party", Subject::from(party))
}
