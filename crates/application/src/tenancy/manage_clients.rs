use std::sync::Arc;

use pos_domain::{ApiClient, ApiClientId, GrantId, Party, Role};
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::{HashError, SecretHasher};
use pos_port_storage::{ApiClientRepository, GrantError, StorageError};
use secrecy::SecretString;

use crate::draw;

/// Makes API clients, gives them other secrets, revokes them.
pub struct ManageClients {
    clients: Arc<dyn ApiClientRepository>,
    hasher: Arc<dyn SecretHasher>,
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
    /// See [`HashError`].
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ManageClients {
    /// Ids and secrets are drawn from `entropy`.
    #[must_use]
    pub fn new(
        clients: Arc<dyn ApiClientRepository>,
        hasher: Arc<dyn SecretHasher>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { clients, hasher, clock, entropy }
    }

    /// Makes a client of a party, under a given id or a fresh one.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn add(
        &self,
        id: Option<ApiClientId>,
        party: Party,
        role: Role,
    ) -> Result<NewSecret, ManageClientsError> {
        let id = match id {
            Some(id) => id,
            None => ApiClientId::parse(&format!("pos-{}", draw::hex::<8>(&*self.entropy)))
                .map_err(|_| ManageClientsError::UnknownClient)?,
        };
        let secret = self.secret();
        let hash = self.hasher.hash(&secret).await?;
        let grant = GrantId(draw::uuid(&*self.entropy));
        let client = ApiClient { id, grant, party, role, created_at: self.clock.now(), revoked_at: None };
        self.clients.add(&client, &hash).await?;
        tracing::info!(client_id = %client.id, %party, %role, "API client added");
        Ok(NewSecret { client_id: client.id, secret })
    }

    /// Gives a client another secret. The one before is void and its sessions are over.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn rotate(&self, id: &ApiClientId) -> Result<NewSecret, ManageClientsError> {
        let secret = self.secret();
        let hash = self.hasher.hash(&secret).await?;
        if !self.clients.rotate(id, GrantId(draw::uuid(&*self.entropy)), &hash).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client's secret rotated");
        Ok(NewSecret { client_id: id.clone(), secret })
    }

    /// Revokes a client for good. Its sessions are over.
    ///
    /// # Errors
    /// [`ManageClientsError`].
    pub async fn revoke(&self, id: &ApiClientId) -> Result<(), ManageClientsError> {
        if !self.clients.revoke(id, self.clock.now()).await? {
            return Err(ManageClientsError::UnknownClient);
        }
        tracing::info!(client_id = %id, "API client revoked");
        Ok(())
    }

    fn secret(&self) -> SecretString {
        SecretString::from(draw::hex::<32>(&*self.entropy))
    }
}
