//! Lifecycle of the development issuer: start, halt, resume, stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use pos_port_clock::{Clock, Entropy};
use serde_json::Value;

use crate::error::DevIdpError;
use crate::http;
use crate::keys::KeyError;
use crate::mint::{MintOptions, MintSignature};
use crate::realm::Realm;
use crate::settings::DevIdpSettings;

/// The development issuer. Never use it in production: see the crate's documentation.
#[derive(Debug, Clone, Copy)]
pub struct DevIdp;

impl DevIdp {
    /// Binds `addr` (port 0: any free port), generates keys, and serves until the handle is dropped or stopped. `clock` is
    /// used for the times in tokens, `entropy` for keys.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DevIdpError`]; [`DevIdpError::NotLoopback`] is checked first.
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

/// A running issuer. Dropping it stops the issuer.
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
            "DEVELOPMENT ISSUER RUNNING: every user of this machine can get tokens from it. Never use it in production"
        );
        Ok(Self { addr, realm, handle })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The issuer identifier (`iss`): the realm's URL.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.realm.issuer
    }

    /// Rotates the keys. The old keys stay published, unless `drop_old`.
    ///
    /// # Errors
    /// [`DevIdpError::Key`] or [`DevIdpError::Interrupted`].
    pub async fn rotate_keys(&self, drop_old: bool) -> Result<(), DevIdpError> {
        let realm = self.realm.clone();
        Ok(tokio::task::spawn_blocking(move || realm.rotate_keys(drop_old)).await??)
    }

    /// Sets or removes a client's back-channel logout address, and returns the previous one: for a test whose server
    /// listens on a port of its own.
    pub fn set_backchannel_logout_uri(&self, client_id: &str, address: Option<&str>) -> Option<String> {
        self.realm.backchannel.set(client_id, address)
    }

    /// Signs `claims` unchanged, for tests.
    ///
    /// # Errors
    /// [`KeyError`] when the signature fails.
    pub fn mint(&self, claims: &Value, options: MintOptions) -> Result<String, KeyError> {
        self.realm.mint(claims, options)
    }

    /// The published key set.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.realm.with_keys(|keys| keys.jwks())
    }

    /// The current key id for an algorithm.
    #[must_use]
    pub fn kid(&self, signature: MintSignature) -> String {
        self.realm.with_keys(|keys| keys.current().kid(signature))
    }

    /// Stops gracefully, and returns when the issuer has stopped.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }

    /// Stops listening and retains keys, sessions and address, like a Keycloak that is restarted.
    pub async fn halt(self) -> HaltedDevIdp {
        self.handle.stop(false).await;
        HaltedDevIdp { addr: self.addr, realm: self.realm.clone() }
    }
}

/// An issuer that does not listen, with its state.
pub struct HaltedDevIdp {
    addr: SocketAddr,
    realm: web::Data<Realm>,
}

impl HaltedDevIdp {
    /// The issuer identifier (`iss`).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.realm.issuer
    }

    /// Listens again on the same address. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DevIdpError::Listen`] when the address is in use.
    pub fn resume(self) -> Result<RunningDevIdp, DevIdpError> {
        Ok(RunningDevIdp::listen(TcpListener::bind(self.addr)?, self.addr, self.realm)?)
    }
}

impl Drop for RunningDevIdp {
    fn drop(&mut self) {
        // The stop is requested immediately; only its completion would have to be awaited.
        drop(self.handle.stop(false));
    }
}
