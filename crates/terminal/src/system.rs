//! The machine's own clock and randomness. The server's adapters have the same pair; a terminal's app should not have
//! to build a database driver to get at them.

use pos_port_clock::{Clock, Entropy};
use rand::Rng;
use time::OffsetDateTime;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "this is the one place here that reads the machine's clock")]
        let now = OffsetDateTime::now_utc();
        now.replace_nanosecond(now.microsecond() * 1_000).unwrap_or(now)
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is the one place here that draws randomness")]
        rand::rng().fill_bytes(bytes);
    }
}
