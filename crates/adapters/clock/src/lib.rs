//! System clock, stopwatch and system randomness.

use std::sync::LazyLock;

use pos_port_clock::{Clock, Entropy, Stopwatch};
use rand::Rng;
use time::OffsetDateTime;

/// The operating system's clock, truncated to whole microseconds: what both stores can hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "only this adapter reads the system clock")]
        let now = OffsetDateTime::now_utc();
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }

    fn since_start(&self) -> std::time::Duration {
        static START: LazyLock<Stopwatch> = LazyLock::new(Stopwatch::start);
        START.elapsed()
    }
}

/// The thread-local cryptographic generator; the operating system seeds and reseeds it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "only this adapter reads the system's randomness")]
        rand::rng().fill_bytes(bytes);
    }
}
