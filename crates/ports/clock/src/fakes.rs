//! Fakes of the clock and of the entropy source, for tests.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use crate::{Clock, Entropy};

/// A clock that changes only when a test sets it.
#[derive(Debug)]
pub struct ManualClock(Mutex<OffsetDateTime>);

impl ManualClock {
    /// Creates a clock at `now`, truncated to whole microseconds.
    #[must_use]
    pub fn at(now: OffsetDateTime) -> Self {
        Self(Mutex::new(whole_micros(now)))
    }

    /// Advances the clock, or sets it back with a negative duration.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = whole_micros(now.saturating_add(by));
    }

    /// Sets the clock.
    pub fn set(&self, now: OffsetDateTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = whole_micros(now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn whole_micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.microsecond() * 1_000).unwrap_or(at)
}

/// Entropy source that returns 32-bit words from a script, in order, and then counts upwards from zero.
///
/// For a test, a counter is as good as random bytes: it never repeats, and every run is the same.
#[derive(Debug, Default)]
pub struct ScriptedEntropy(Mutex<(VecDeque<u32>, u32)>);

impl ScriptedEntropy {
    /// Creates a source that returns `words` first.
    #[must_use]
    pub fn new(words: impl IntoIterator<Item = u32>) -> Self {
        Self(Mutex::new((words.into_iter().collect(), 0)))
    }

    fn word(&self) -> u32 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (script, count) = &mut *state;
        script.pop_front().unwrap_or_else(|| {
            let word = *count;
            *count = count.wrapping_add(1);
            word
        })
    }
}

impl Entropy for ScriptedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            let word = self.word().to_le_bytes();
            for (byte, random) in chunk.iter_mut().zip(word) {
                *byte = random;
            }
        }
    }
}
