//! The machine's own clock and randomness.

use std::sync::LazyLock;

use pos_port_clock::{Clock, Entropy};
use rand::Rng;
use time::OffsetDateTime;

/// The operating system's clock, cut to whole microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "this adapter is the one place that reads the machine's clock")]
        let now = OffsetDateTime::now_utc();
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }

    fn since_start(&self) -> std::time::Duration {
        static START: LazyLock<Stopwatch> = LazyLock::new(Stopwatch::start);
        START.elapsed()
    }
}

/// The thread's cryptographic generator, seeded and reseeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "this adapter is the one place that draws the machine's randomness"
        )]
        rand::rng().fill_bytes(bytes);
    }
}

/// Measures how long something took, for logs and metrics; no decision hangs on it.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// How long it has been.
    #[must_use]
    pub fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}
