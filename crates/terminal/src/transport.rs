//! Connections.

use std::time::Duration;

use reqwest::redirect::Policy;

/// How long one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the start of the call until the last byte of the answer, connecting included.
    pub whole_call: Duration,
}

impl Default for TimeLimits {
    /// 5 seconds to connect, 10 for the whole call.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole_call: Duration::from_secs(10) }
    }
}

/// A pool of connections. Cheap to clone; a program that plays many terminals gives them all the same one.
#[derive(Debug, Clone)]
pub struct Transport(pub(crate) reqwest::Client);

/// The TLS library could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("no connections can be made from here")]
pub struct TransportUnavailable(#[source] reqwest::Error);

impl Transport {
    /// A new pool. The proxy variables of the environment are not read. Redirects are not followed: this API has none, and a network that redirects a terminal to a login
    /// page must not pass for the server.
    ///
    /// # Errors
    /// [`TransportUnavailable`].
    pub fn new(limits: TimeLimits) -> Result<Self, TransportUnavailable> {
        reqwest::Client::builder()
            .connect_timeout(limits.connect)
            .timeout(limits.whole_call)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map(Self)
            .map_err(TransportUnavailable)
    }
}
