//! The provider's keys over time: which are current, and when they are fetched anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use openidconnect::core::CoreJsonWebKey;
use pos_port_clock::Clock;
use pos_port_identity::VerifyError;
use time::OffsetDateTime;
use tokio::sync::watch;

use super::algorithm::Algorithm;
use super::key_set::{KeySet, TrustedKey};
use super::provider::{FetchError, Provider};
use super::rejection::Rejection;

/// Holds the current keys, and fetches them in a task of its own: one at a time, with a cool-down after each, whatever
/// came of it. Readers never wait for one another; nobody holds a lock while the network is asked.
#[derive(Clone)]
pub(super) struct KeyStore(Arc<Shared>);

struct Shared {
    provider: Provider,
    clock: Arc<dyn Clock>,
    cooldown: Duration,
    max_age: Duration,
    /// How long a caller waits for a fetch.
    patience: Duration,
    current: ArcSwapOption<KeySet>,
    fetches: Mutex<Fetches>,
}

#[derive(Default)]
struct Fetches {
    /// Closed when the fetch it belongs to is over, in whatever way; then says whether it went well.
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
        (cooldown, max_age, patience): (Duration, Duration, Duration),
    ) -> Self {
        let (current, fetches) = (ArcSwapOption::empty(), Mutex::default());
        Self(Arc::new(Shared { provider, clock, cooldown, max_age, patience, current, fetches }))
    }

    /// The current set. One past its age is still given out, while the next is being fetched.
    pub(super) fn current(&self) -> Option<Arc<KeySet>> {
        let current = self.0.current.load_full();
        if current.as_ref().is_some_and(|set| !within(set.fetched_at, self.0.max_age, self.0.clock.now())) {
            self.fetch();
        }
        current
    }

    /// Whether there are keys at all.
    pub(super) fn is_ready(&self) -> bool {
        self.0.current.load().is_some()
    }

    /// The key that a token's header means, from the current set or, if it is not there, from a fresh one.
    ///
    /// # Errors
    /// `Rejected` when the provider does not have such a key, or it does not fit. `Unavailable` when the provider
    /// could not be asked.
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

    /// Sees to it that the keys are as fresh as the cool-down allows; whether the last fetch went well.
    pub(super) async fn fetch_and_wait(&self) -> bool {
        let Some(mut running) = self.fetch() else {
            return self.0.fetches().last.is_some_and(|last| !last.failed);
        };
        let over = async { while running.changed().await.is_ok() {} };
        let in_time = tokio::time::timeout(self.0.patience, over).await.is_ok();
        in_time && *running.borrow()
    }

    /// Starts a fetch, unless one is running or the last has not cooled down. Answers the one that is running then.
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
        // Counted as failed from the start, so that a fetch that never ends well cools down too.
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
    /// Puts new keys in place and starts the cool-down; whether there are new keys.
    fn finish(&self, outcome: Result<Vec<CoreJsonWebKey>, FetchError>) -> bool {
        let now = self.clock.now();
        let before = self.current.load_full();
        let outcome =
            outcome.and_then(|jwks| KeySet::after(before.as_deref(), jwks, now).ok_or(FetchError::NoUsableKey));
        let failed = outcome.is_err();
        match outcome {
            Ok(set) => {
                tracing::info!(keys = set.len(), generation = set.generation, "identity provider's keys fetched");
                self.current.store(Some(Arc::new(set)));
            }
            Err(error) => {
                let keys_held = before.is_some();
                tracing::warn!(error = %Chain(&error), keys_held, "identity provider's keys could not be fetched");
            }
        }
        self.fetches().last = Some(Attempt { at: now, failed });
        !failed
    }

    fn fetches(&self) -> MutexGuard<'_, Fetches> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `now` is less than `span` after `since`. A clock that was set back ends every span.
fn within(since: OffsetDateTime, span: Duration, now: OffsetDateTime) -> bool {
    Duration::try_from(now - since).is_ok_and(|elapsed| elapsed < span)
}

/// An error and what caused it, in one line.
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
