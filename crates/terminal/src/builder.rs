//! How a terminal introduces itself.

use std::sync::Arc;

use pos_domain::{AppVersion, DeviceId, InvalidAppVersion, InvalidDeviceId, UserAgent};
use pos_port_clock::{Clock, Entropy};
use reqwest::Url;

use crate::sleeper::{Sleeper, TokioSleeper};
use crate::system::{SystemClock, SystemEntropy};
use crate::terminal::{Inner, Introduction, Terminal};
use crate::transport::{TimeLimits, Transport, TransportUnavailable};
use crate::wire_log::WireLog;

/// Collects what a [`Terminal`] needs. The app's version, the operating system and the model are required; they make
/// up the `User-Agent`.
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

/// Why no terminal can be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTerminal {
    /// The server's address.
    #[error("the base URL must be http:// or https://, without credentials, query and fragment")]
    BaseUrl,
    /// The device id.
    #[error("the device id {0}")]
    DeviceId(#[from] InvalidDeviceId),
    /// The app's version, missing or malformed.
    #[error("the app version: {0}")]
    AppVersion(#[from] InvalidAppVersion),
    /// The operating system or the model, missing or unfit for the `User-Agent`.
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

    /// The app's version, for example `1.4.2`.
    pub fn app_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.app_version);
        self
    }

    /// The operating system, for example `Android 12`.
    pub fn os(mut self, os: &str) -> Self {
        os.clone_into(&mut self.os);
        self
    }

    /// The hardware model, for example `PAX-A920`.
    pub fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// Connections to use, and with them the time limits. Without it the terminal makes its own, with the default
    /// [`TimeLimits`].
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// The clock to read instead of the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The source of jitter and trace ids instead of the machine's.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// What waits instead of tokio's timer.
    pub fn sleeper(mut self, sleeper: Arc<dyn Sleeper>) -> Self {
        self.sleeper = sleeper;
        self
    }

    /// Somebody to be told of every call and its answer.
    pub fn wire_log(mut self, log: Arc<dyn WireLog>) -> Self {
        self.wire_log = Some(log);
        self
    }

    /// The terminal.
    ///
    /// # Errors
    /// [`InvalidTerminal`] names the first part that does not fit.
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
        let introduction = Introduction { base_url, device_id, app_version, user_agent };
        let Self { clock, entropy, sleeper, wire_log, .. } = self;
        Ok(Terminal::new(Inner { introduction, transport, clock, entropy, sleeper, wire_log }))
    }
}

/// With a slash at the end, so that a path in it is kept when the API's paths are joined to it.
fn base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    fits.then_some(url)
}

fn part(text: &str) -> Option<&str> {
    let fits = (1..=UserAgent::MAX_PART_LEN).contains(&text.len())
        && text.trim() == text
        && text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'(' | b')' | b';'));
    fits.then_some(text)
}
