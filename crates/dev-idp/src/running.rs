use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use pos_port_clock::{Clock, Entropy};
use serde_json::Value;

use crate::http;
use crate::keys::KeyFault;
use crate::mint::{MintOptions, MintSignature};
use crate::realm::Realm;
use crate::settings::{DevIdpSettings, SettingsError};

/// The development issuer. See the crate's documentation for what it must never be used for.
#[derive(Debug, Clone, Copy)]
pub struct DevIdp;

/// Why the issuer does not run.
#[derive(Debug, thiserror::Error)]
pub enum DevIdpError {
    /// It was asked to listen where others could reach it.
    #[error("the development issuer listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// See [`SettingsError`].
    #[error("the development issuer's settings are wrong")]
    Settings(#[from] SettingsError),
    /// The address is taken, or the listener failed.
    #[error("the development issuer cannot listen")]
    Listen(#[from] std::io::Error),
    /// See [`KeyFault`].
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// The client that tells others of log-outs cannot be made.
    #[error("the development issuer cannot call anybody")]
    Client(#[from] reqwest::Error),
    /// The thread that makes keys was lost.
    #[error("the development issuer's work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl DevIdp {
    /// Binds `addr` (port 0 for any free one), makes keys, and serves until the handle is dropped or stopped. `clock`
    /// gives the times in the tokens, `entropy` makes the keys.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DevIdpError`]; [`DevIdpError::NotLoopback`] before anything else happens.
    pub async fn start(
        settings: DevIdpSettings,
        addr: SocketAddr,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<RunningDevIdp, DevIdpError> {
        if !addr.ip().is_loopback() {
            return Err(DevIdpError::NotLoopback(addr));
        }
        settings.validate()?;
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let issuer = format!("http://{addr}/realms/{}", settings.realm);
        let make_realm = move || Realm::new(settings, issuer, clock, entropy);
        let realm = web::Data::new(tokio::task::spawn_blocking(make_realm).await??);
        Ok(RunningDevIdp::listen(listener, addr, realm)?)
    }
}

/// A running issuer. It stops when this is dropped.
pub struct RunningDevIdp {
    addr: SocketAddr,
    realm: web::Data<Realm>,
    handle: ServerHandle,
}

impl RunningDevIdp {
    fn listen(listener: TcpListener, addr: SocketAddr, realm: web::Data<Realm>) -> std::io::Result<Self> {
        let shared = realm.clone();
        let app = move || App::new().wrap(http::cors(&shared)).configure(|config| http::routes(config, &shared));
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        tokio::spawn(server);
        tracing::warn!(
            issuer = realm.issuer,
            "DEVELOPMENT ISSUER RUNNING: anybody on this machine can get tokens from it. Never use it for anything real"
        );
        Ok(Self { addr, realm, handle })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The issuer, as it stands in the tokens: the realm's address.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.realm.issuer
    }

    /// Puts new keys in use. The old ones stay published, unless `drop_old`.
    ///
    /// # Errors
    /// [`DevIdpError::Key`] or [`DevIdpError::Interrupted`].
    pub async fn rotate_keys(&self, drop_old: bool) -> Result<(), DevIdpError> {
        let realm = self.realm.clone();
        Ok(tokio::task::spawn_blocking(move || realm.rotate_keys(drop_old)).await??)
    }

    /// Gives a client another back-channel logout address, or none, and answers the one before: for a test whose server
    /// has a port of its own.
    pub fn set_backchannel_logout_uri(&self, client_id: &str, address: Option<&str>) -> Option<String> {
        self.realm.backchannel.set(client_id, address)
    }

    /// Signs `claims` exactly as they are, for tests.
    ///
    /// # Errors
    /// [`KeyFault`] when the signature cannot be made.
    pub fn mint(&self, claims: &Value, options: MintOptions) -> Result<String, KeyFault> {
        self.realm.mint(claims, options)
    }

    /// The published key set, for a test that publishes it elsewhere.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.realm.with_keys(|keys| keys.jwks())
    }

    /// The id of the current key for an algorithm.
    #[must_use]
    pub fn kid(&self, signature: MintSignature) -> String {
        self.realm.with_keys(|keys| keys.current().kid(signature))
    }

    /// Stops listening, and waits until it has.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }

    /// Stops listening and keeps everything else, as a Keycloak does that is restarted: its keys, its sessions, its
    /// address.
    pub async fn halt(self) -> HaltedDevIdp {
        self.handle.stop(false).await;
        HaltedDevIdp { addr: self.addr, realm: self.realm.clone() }
    }
}

/// An issuer that is away for a while.
pub struct HaltedDevIdp {
    addr: SocketAddr,
    realm: web::Data<Realm>,
}

impl HaltedDevIdp {
    /// The issuer, as it stands in the tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.realm.issuer
    }

    /// Listens again, where it did before. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DevIdpError::Listen`] when its address was taken meanwhile.
    pub fn resume(self) -> Result<RunningDevIdp, DevIdpError> {
        Ok(RunningDevIdp::listen(TcpListener::bind(self.addr)?, self.addr, self.realm)?)
    }
}

impl Drop for RunningDevIdp {
    fn drop(&mut self) {
        // The order is given at once; only its completion would have to be awaited.
        drop(self.handle.stop(false));
    }
}
