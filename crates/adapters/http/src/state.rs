//! State shared by every HTTP worker: use cases, ports and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pos_application::UseCases;
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::TokenVerifier;
use pos_port_storage::shared::{PoolMonitor, StorageHealth};
use tokio::sync::Notify;

use crate::limits::concurrency_limit::ConcurrencyLimits;
use crate::limits::rate_limiter::RateLimiter;
use crate::observe::metrics::Metrics;
use crate::server::client_ip::TrustedProxies;

/// Application state of the handlers: use cases and a few ports, no repositories.
pub struct Api {
    /// Every use case.
    pub use_cases: UseCases,
    /// Verifies bearer tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// For times and time-dependent states in responses.
    pub clock: Arc<dyn Clock>,
    /// For trace ids and jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Limits the rate of terminals' requests.
    pub rate_limiter: Arc<RateLimiter>,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// For `/health/ready`.
    pub storage: Arc<dyn StorageHealth>,
    /// State of the connection pool, for `/metrics`.
    pub pool: Arc<dyn PoolMonitor>,
    /// Exposed by `/metrics`.
    pub metrics: Metrics,
    /// Size, time and concurrency limits of requests.
    pub limits: Limits,
    /// Whether a request's log span is created only when its first event is logged.
    pub lazy_spans: bool,
    /// Whether `/metrics` is a route.
    pub metrics_enabled: bool,
    /// Graceful shutdown.
    pub drain: Drain,
}

/// Limits of requests.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum bytes of a body; more is 413/4013.
    pub max_body_bytes: usize,
    /// Maximum bytes of an import file; more is 413/4013.
    pub max_upload_bytes: u64,
    /// Maximum bytes of all header names and values together; more is 400/4000.
    pub max_header_bytes: usize,
    /// Time from the end of the request head to the response; longer is 503/5003, or 400/4000 while the body is incomplete.
    pub request_timeout: Duration,
    /// Maximum of `Prefer: wait`, in addition to `request_timeout`.
    pub max_wait: Duration,
    /// `request_timeout` of imports.
    pub import_timeout: Duration,
    /// Maximum time between two chunks of an import file; longer is 400/4000.
    pub import_stall_timeout: Duration,
    /// Maximum concurrent requests of one worker; one more is queued for a bounded time, then 503/5003.
    pub concurrency: ConcurrencyLimits,
}

/// Signal of a graceful shutdown: `/health/ready` fails and held requests are answered.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<(AtomicBool, Notify)>);

impl Drain {
    /// Starts the shutdown: the server is no longer ready.
    pub fn start(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    /// Returns once [`Drain::start`] was called.
    pub async fn started(&self) {
        let started = self.0.1.notified();
        tokio::pin!(started);
        // Subscribes before the flag is read, so that a call of `start` in between is not missed.
        started.as_mut().enable();
        if !self.has_started() {
            started.await;
        }
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }
}
