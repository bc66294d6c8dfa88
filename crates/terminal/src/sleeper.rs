//! Waiting as a port.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::ManualClock;

/// Waits.
#[async_trait]
pub trait Sleeper: Send + Sync {
    /// Returns after `duration`, or a little later. Dropping the future ends the wait.
    async fn sleep(&self, duration: Duration);
}

/// Waits on tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioSleeper;

#[async_trait]
impl Sleeper for TokioSleeper {
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// The fake: moves a [`ManualClock`] on instead of waiting, and keeps a list of the waits.
pub struct ManualSleeper {
    clock: Arc<ManualClock>,
    waits: Mutex<Vec<Duration>>,
}

impl ManualSleeper {
    /// A sleeper that moves `clock`.
    #[must_use]
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { clock, waits: Mutex::default() }
    }

    /// Every wait so far, in order; one of zero length is not counted as a wait by [`crate::Pairing`] and not asked for.
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
        // A loop that only ever waits on this fake must still let others run.
        tokio::task::yield_now().await;
    }
}
