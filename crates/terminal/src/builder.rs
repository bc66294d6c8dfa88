//! Builder for [`Terminal`]: validates the server address, the device id and the parts of the `User-Agent`.

use std::sync::Arc;

use pos_domain::device::{AppVersion, InvalidAppVersion, UserAgent};
use pos_domain::shared::{DeviceId, InvalidDeviceId};
use pos_port_clock::{Clock, Entropy};
use reqwest::Url;

use crate::sleeper::{Sleeper, TokioSleeper};
use crate::system::{SystemClock, SystemEntropy};
use crate::terminal::{Identity, Inner, Terminal};
use crate::transport::{TimeLimits, Transport, TransportUnavailable};
use crate::wire_log::WireLog;

/// Builder for a [`Terminal`]. The app version, the operating system and the model are required; they form the
/// `User-Agent`.
#[must_use]
pub struct TerminalBuilder {
    base_url: String,
    device_id: String,
    app_version: String,
    os: String,
    model: String,
    transport: Option<Transport>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sleeper: Arc<dyn Sleeper>,
    wire_log: Option<Arc<dyn WireLog>>,
}

/// A required part is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTerminal {
    /// The server's address is invalid.
    #[error("the base URL must be http:// or https://, without credentials, query and fragment")]
    BaseUrl,
    /// The device id is invalid.
    #[error("the device id {0}")]
    DeviceId(#[from] InvalidDeviceId),
    /// The app version is missing or malformed.
    #[error("the app version: {0}")]
    AppVersion(#[from] InvalidAppVersion),
    /// The operating system or the model is missing or not allowed in the `User-Agent`.
    #[error("the {0} must be 1 to 64 printable ASCII characters, without parentheses and semicolons")]
    Part(&'static str),
    /// See [`TransportUnavailable`].
    #[error(transparent)]
    Transport(#[from] TransportUnavailable),
}

impl TerminalBuilder {
    pub(crate) fn new(base_url: &str, device_id: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            device_id: device_id.to_owned(),
            app_version: String::new(),
            os: String::new(),
            model: String::new(),
            transport: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            sleeper: Arc::new(TokioSleeper),
            wire_log: None,
        }
    }

    /// Sets the app version, for example `1.4.2`.
    pub fn app_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.app_version);
        self
    }

    /// Sets the operating system, for example `Android 12`.
    pub fn os(mut self, os: &str) -> Self {
        os.clone_into(&mut self.os);
        self
    }

    /// Sets the hardware model, for example `PAX-A920`.
    pub fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// Sets the connection pool and its time limits. Default: a pool of its own with the default [`TimeLimits`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the clock. Default: the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the source of randomness for jitter and trace ids. Default: the operating system's.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Sets the sleeper. Default: tokio's timer.
    pub fn sleeper(mut self, sleeper: Arc<dyn Sleeper>) -> Self {
        self.sleeper = sleeper;
        self
    }

    /// Sets an observer of every call and its response.
    pub fn wire_log(mut self, log: Arc<dyn WireLog>) -> Self {
        self.wire_log = Some(log);
        self
    }

    /// Validates the parts and builds the terminal.
    ///
    /// # Errors
    /// [`InvalidTerminal`] names the first invalid part.
    pub fn build(self) -> Result<Terminal, InvalidTerminal> {
        let base_url = base_url(&self.base_url).ok_or(InvalidTerminal::BaseUrl)?;
        let device_id = DeviceId::parse(&self.device_id)?;
        let app_version: AppVersion = self.app_version.parse()?;
        let os = part(&self.os).ok_or(InvalidTerminal::Part("operating system"))?;
        let model = part(&self.model).ok_or(InvalidTerminal::Part("model"))?;
        let user_agent = format!("{}{app_version} ({os}; {model})", UserAgent::PRODUCT);
        let transport = match self.transport.clone() {
            Some(transport) => transport,
            None => Transport::new(TimeLimits::default())?,
        };
        let identity = Identity { base_url, device_id, app_version, user_agent };
        let Self { clock, entropy, sleeper, wire_log, .. } = self;
        Ok(Terminal::new(Inner { identity, transport, clock, entropy, sleeper, wire_log }))
    }
}

/// Parses the address. A trailing slash is added, so that the API's paths are appended to its path.
fn base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let valid = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    valid.then_some(url)
}

fn part(text: &str) -> Option<&str> {
    let valid = (1..=UserAgent::MAX_PART_LEN).contains(&text.len())
        && text.trim() == text
        && text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'(' | b')' | b';'));
    valid.then_some(text)
}
