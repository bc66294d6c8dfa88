//! HTTP connection pool and its time limits.

use std::time::Duration;

use reqwest::redirect::Policy;

/// Time limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimits {
    /// Limit for connecting, TLS included.
    pub connect: Duration,
    /// Limit from the start of the call to the last byte of the response, connecting included.
    pub whole_call: Duration,
}

impl Default for TimeLimits {
    /// 5 seconds to connect, 10 for the whole call.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole_call: Duration::from_secs(10) }
    }
}

/// A connection pool. Cheap to clone; a program that simulates many terminals shares one among them.
#[derive(Debug, Clone)]
pub struct Transport(pub(crate) reqwest::Client);

/// The TLS library could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the TLS library cannot be set up")]
pub struct TransportUnavailable(#[source] reqwest::Error);

impl Transport {
    /// Creates a pool. Proxy variables of the environment are ignored. Redirects are not followed: this API has none, and
    /// a network that redirects to a login page must not be taken for the server.
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
