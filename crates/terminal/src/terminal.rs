//! Terminal client: one device at one server, and its three API calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pos_domain::device::AppVersion;
use pos_domain::shared::DeviceId;
use pos_port_clock::{Clock, Entropy};
use reqwest::header::USER_AGENT;
use reqwest::{Method, RequestBuilder, Url};

use crate::answer::{Body, Bootstrap, BootstrapBody, PairingCodeBody, ShownCode, Status, StatusBody};
use crate::builder::TerminalBuilder;
use crate::call::call;
use crate::error::{CallError, PairError};
use crate::pairing::Pairing;
use crate::sleeper::Sleeper;
use crate::transport::Transport;
use crate::wire_log::WireLog;

/// Client of one device at one server. Cheap to clone; clones are the same device and share its connections.
#[derive(Clone)]
pub struct Terminal(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) transport: Transport,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) sleeper: Arc<dyn Sleeper>,
    pub(crate) wire_log: Option<Arc<dyn WireLog>>,
}

pub(crate) struct Identity {
    pub(crate) base_url: Url,
    pub(crate) device_id: DeviceId,
    pub(crate) app_version: AppVersion,
    pub(crate) user_agent: String,
}

impl Terminal {
    /// Creates a builder. `base_url` is the server's address (`https://api.viopay.io`; a path in it is kept),
    /// `device_id` the id that was assigned in the factory.
    pub fn builder(base_url: &str, device_id: &str) -> TerminalBuilder {
        TerminalBuilder::new(base_url, device_id)
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Checks that the server is reachable and knows the device. Returns the server's time and the oldest supported app
    /// version.
    ///
    /// # Errors
    /// [`CallError`]; an unknown device is [`CallError::Api`] with HTTP status 404 and code `4004`.
    pub async fn bootstrap(&self) -> Result<Bootstrap, CallError> {
        self.call::<BootstrapBody>(Method::POST, "pos/bootstrap").await
    }

    /// Requests a new code. It supersedes the device's earlier code.
    ///
    /// # Errors
    /// [`CallError`]; a device that is already claimed is [`CallError::Api`] with HTTP status 400 and code `4220`.
    pub async fn request_pairing_code(&self) -> Result<ShownCode, CallError> {
        self.call::<PairingCodeBody>(Method::POST, "pos/pairing-code").await
    }

    /// Returns the status of the device and of its latest code.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status(&self) -> Result<Status, CallError> {
        self.call::<StatusBody>(Method::GET, "pos/status").await
    }

    /// Long-polling variant of [`Terminal::status`]: the server may hold the response for up to `wait` (whole seconds)
    /// while the code is pending and nothing changes (`Prefer: wait=`, RFC 7240), so that a claim is reported at once.
    /// [`crate::TimeLimits::whole_call`] must be longer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn status_within(&self, wait: Duration) -> Result<Status, CallError> {
        let request = self.request(Method::GET, "pos/status");
        self.send::<StatusBody>(request.header("Prefer", format!("wait={}", wait.as_secs()))).await
    }

    /// Pairs the device: passes each code to `on_code` until a merchant has claimed the device, and returns its status.
    /// Network and server failures are retried without limit. Drop the future to cancel; use [`Terminal::pairing`] for a
    /// deadline or to observe each step.
    ///
    /// # Errors
    /// [`PairError::Refused`] when the server rejects this terminal.
    pub async fn pair(&self, on_code: impl FnMut(&ShownCode)) -> Result<Status, PairError> {
        self.pairing().run(on_code).await
    }

    /// Pairing, step by step.
    pub fn pairing(&self) -> Pairing {
        Pairing::new(self.clone())
    }

    /// Whether the server still supports this app's version.
    #[must_use]
    pub fn is_supported(&self, bootstrap: &Bootstrap) -> bool {
        bootstrap.supports(&self.0.identity.app_version)
    }

    /// The device's id.
    #[must_use]
    pub fn device_id(&self) -> &DeviceId {
        &self.0.identity.device_id
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    pub(crate) fn wire_log(&self) -> Option<&dyn WireLog> {
        self.0.wire_log.as_deref()
    }

    pub(crate) fn sleeper(&self) -> &dyn Sleeper {
        &*self.0.sleeper
    }

    async fn call<B: Body>(&self, method: Method, path: &str) -> Result<B::Answer, CallError> {
        self.send::<B>(self.request(method, path)).await
    }

    async fn send<B: Body>(&self, request: RequestBuilder) -> Result<B::Answer, CallError> {
        call::<B>(self, request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let Identity { base_url, device_id, user_agent, .. } = &self.0.identity;
        let url = format!("{base_url}{path}");
        let request = self.0.transport.0.request(method, url).header("X-Device-Id", device_id.as_str());
        request.header(USER_AGENT, user_agent).header("X-Client-Type", "pos")
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { base_url, device_id, user_agent, .. } = &self.0.identity;
        f.debug_struct("Terminal")
            .field("base_url", &base_url.as_str())
            .field("device_id", device_id)
            .field("user_agent", user_agent)
            .finish_non_exhaustive()
    }
}
