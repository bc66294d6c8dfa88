//! Key store: the provider's current keys, refreshed in the background.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use openidconnect::core::CoreJsonWebKey;
use pos_port_clock::Clock;
use pos_port_identity::VerifyError;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::oidc::algorithm::Algorithm;
use crate::oidc::key_set::{KeySet, TrustedKey};
use crate::oidc::provider::{FetchError, Provider};
use crate::oidc::rejection::Rejection;

/// Stores the current keys, and fetches them in a background task: one fetch at a time, with a cool-down after each fetch,
/// successful or not. Readers do not block each other, and no lock is held during network I/O.
#[derive(Clone)]
pub(super) struct KeyStore(Arc<Shared>);

struct Shared {
    provider: Provider,
    clock: Arc<dyn Clock>,
    cooldown: Duration,
    max_age: Duration,
    /// How long a caller waits for a fetch.
    fetch_timeout: Duration,
    current: ArcSwapOption<KeySet>,
    fetches: Mutex<Fetches>,
}

#[derive(Default)]
struct Fetches {
    /// Closed when its fetch has ended; the value is then whether it succeeded.
    running: Option<watch::Receiver<bool>>,
    last: Option<Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    at: OffsetDateTime,
    failed: bool,
}

impl KeyStore {
    pub(super) fn new(
        provider: Provider,
        clock: Arc<dyn Clock>,
        (cooldown, max_age, fetch_timeout): (Duration, Duration, Duration),
    ) -> Self {
        let (current, fetches) = (ArcSwapOption::empty(), Mutex::default());
        Self(Arc::new(Shared { provider, clock, cooldown, max_age, fetch_timeout, current, fetches }))
    }

    /// The current set. An outdated set is still returned while the next one is fetched.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        let current = self.0.current.load_full();
        if current.as_ref().is_some_and(|set| !within(set.fetched_at, self.0.max_age, self.0.clock.now())) {
            self.fetch();
        }
        current
    }

    /// Whether any keys have been fetched.
    pub(super) fn is_ready(&self) -> bool {
        self.0.current.load().is_some()
    }

    /// Finds the key of a token's header in the current set or, if it is missing, in a newly fetched one.
    ///
    /// # Errors
    /// `Rejected` if the provider has no such key, or it does not fit. `Unavailable` if the keys cannot be fetched.
    pub(super) async fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<TrustedKey, VerifyError> {
        if let Some(key) = self.find_now(key_id, algorithm)? {
            return Ok(key);
        }
        let fetched = self.fetch_and_wait().await;
        match self.find_now(key_id, algorithm)? {
            Some(key) => Ok(key),
            None if fetched => Err(Rejection("unknown key").into()),
            None => Err(VerifyError::Unavailable),
        }
    }

    fn find_now(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<Option<TrustedKey>, Rejection> {
        self.current().map_or(Ok(None), |set| set.find(key_id, algorithm))
    }

    /// Fetches the keys unless the cool-down forbids it. Returns whether the last fetch succeeded.
    pub(super) async fn fetch_and_wait(&self) -> bool {
        let Some(mut running) = self.fetch() else {
            return self.0.fetches().last.is_some_and(|last| !last.failed);
        };
        let ended = async { while running.changed().await.is_ok() {} };
        let in_time = tokio::time::timeout(self.0.fetch_timeout, ended).await.is_ok();
        in_time && *running.borrow()
    }

    /// Starts a fetch, unless one is running or the cool-down has not ended. Returns the running fetch.
    fn fetch(&self) -> Option<watch::Receiver<bool>> {
        let mut fetches = self.0.fetches();
        if let Some(running) = fetches.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return Some(running.clone());
        }
        let now = self.0.clock.now();
        if fetches.last.is_some_and(|last| within(last.at, self.0.cooldown, now)) {
            return None;
        }
        let (done, running) = watch::channel(false);
        // Counted as failed from the start, so that the cool-down also applies to a fetch that never completes.
        fetches.last = Some(Attempt { at: now, failed: true });
        fetches.running = Some(running.clone());
        drop(fetches);
        let shared = self.0.clone();
        tokio::spawn(async move {
            let outcome = shared.provider.fetch().await;
            done.send_replace(shared.finish(outcome));
        });
        Some(running)
    }
}

impl Shared {
    /// Stores the fetched keys and starts the cool-down. Returns whether the fetch succeeded.
    fn finish(&self, outcome: Result<Vec<CoreJsonWebKey>, FetchError>) -> bool {
        let now = self.clock.now();
        let before = self.current.load_full();
        let outcome =
            outcome.and_then(|jwks| KeySet::after(before.as_deref(), jwks, now).ok_or(FetchError::NoUsableKey));
        let failed = outcome.is_err();
        match outcome {
            Ok(set) => {
                tracing::info!(keys = set.len(), generation = set.generation, "fetched the identity provider's keys");
                self.current.store(Some(Arc::new(set)));
            }
            Err(error) => {
                let keys_held = before.is_some();
                tracing::warn!(error = %Chain(&error), keys_held, "failed to fetch the identity provider's keys");
            }
        }
        self.fetches().last = Some(Attempt { at: now, failed });
        !failed
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `now` is less than `span` after `since`. False if the clock was set back.
fn within(since: OffsetDateTime, span: Duration, now: OffsetDateTime) -> bool {
    Duration::try_from(now - since).is_ok_and(|elapsed| elapsed < span)
}

/// Displays an error and its causes in one line.
struct Chain<'e>(&'e dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
