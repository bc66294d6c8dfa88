//! Time and randomness as ports.
//!
//! Nothing outside an adapter reads the machine's clock or asks it for random bytes: what needs the time is handed a
//! [`Clock`], what needs a code or an id is handed an [`Entropy`]. A test moves a [`ManualClock`] instead of sleeping,
//! and scripts the draw with [`ScriptedEntropy`].
//!
//! To add another: one small trait here, its fake beside it, and the real thing in `pos-adapters`.

mod fakes;

use time::OffsetDateTime;

pub use fakes::{ManualClock, ScriptedEntropy};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The current instant: UTC, in whole microseconds, so that every store keeps it exactly.
    fn now(&self) -> OffsetDateTime;

    /// How long it has been since some instant in the past that stays the same. For rates: a real clock's never goes
    /// back, whoever sets the time of day meanwhile.
    fn since_start(&self) -> std::time::Duration {
        (self.now() - OffsetDateTime::UNIX_EPOCH).unsigned_abs()
    }
}

/// Gives random bytes from a cryptographic source.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with independent uniform bytes. Cannot fail: a source that may run dry must abort the process
    /// rather than give weak bytes.
    fn fill(&self, bytes: &mut [u8]);

    /// 32 uniform bits.
    fn bits(&self) -> u32 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}
