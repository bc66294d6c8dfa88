//! Clock and entropy ports.
//!
//! Only adapters read the machine's clock or its random source. Code that needs the time gets a [`Clock`], code that
//! needs a random code or id gets an [`Entropy`]. A test advances a [`ManualClock`] instead of sleeping, and scripts
//! the random words with [`ScriptedEntropy`].
//!
//! To add another port: one small trait here, its fake beside it, and the implementation in `pos-adapters`.

mod fakes;

use time::OffsetDateTime;

pub use fakes::{ManualClock, ScriptedEntropy};

/// Source of the current time.
pub trait Clock: Send + Sync {
    /// Returns the current instant: UTC, in whole microseconds, so that every store preserves it exactly.
    fn now(&self) -> OffsetDateTime;

    /// Returns the time since some fixed instant in the past, for rates. A real clock's value is monotonic, even if the
    /// time of day is set meanwhile.
    fn since_start(&self) -> std::time::Duration {
        (self.now() - OffsetDateTime::UNIX_EPOCH).unsigned_abs()
    }
}

/// Cryptographic source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with independent uniform bytes. Cannot fail: a source that can be exhausted must abort the process
    /// instead of returning weak bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// Returns 32 uniform bits.
    fn bits(&self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// Measures elapsed time for logs and metrics; no business rule depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Returns the time since [`Stopwatch::start`].
    #[must_use]
    pub fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}
