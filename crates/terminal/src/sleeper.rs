//! Sleep port, with an implementation on tokio's timer and a manual one for tests.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::ManualClock;

/// Port for sleeping.
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Returns after `duration`, or a little later. Dropping the future cancels the sleep.
    async fn sleep(&self, duration: Duration);
}

/// Sleeps on tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleeper;

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Test double: advances a [`ManualClock`] instead of sleeping, and records the durations.
pub struct ManualSleeper {
    clock: Arc<ManualClock>,
    waits: Mutex<Vec<Duration>>,
}

impl ManualSleeper {
    /// A sleeper that advances `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { clock, waits: Mutex::default() }
    }

    /// The recorded durations, in order. [`crate::Pairing`] skips sleeps of zero length, so they are not recorded.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for ManualSleeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualSleeper").field("waits", &self.waits()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sleeper for ManualSleeper {
    async fn sleep(&self, duration: Duration) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(duration);
        self.clock.advance(time::Duration::try_from(duration).unwrap_or(time::Duration::MAX));
        // A loop that only sleeps on this test double must still yield to other tasks.
        tokio::task::yield_now().await;
    }
}
