//! System clock and randomness. The server's adapters have the same pair, but a terminal's app should not have to
//! build a database driver to use them.

use pos_port_clock::{Clock, Entropy};
use rand::Rng;
use time::OffsetDateTime;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "the only code in this crate that reads the system clock")]
        let now = OffsetDateTime::now_utc();
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "the only code in this crate that generates random bytes")]
        rand::rng().fill_bytes(bytes);
    }
}
