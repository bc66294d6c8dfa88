//! What one thread counts for itself. A counter that all threads share for each call of a shop, or of a whole carrier, is what
//! they would wait for most.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use super::pacing::Limiter;

/// The tally of one thread.
pub(super) struct PacingTally {
    calls: Cell<u64>,
    lots: [Cell<Lot>; PacingTally::LOTS],
}

/// Calls that one may still make, having been counted beforehand.
#[derive(Clone, Copy, Default)]
struct Lot {
    key: u64,
    left: u32,
}

impl Default for PacingTally {
    fn default() -> Self {
        Self { calls: Cell::default(), lots: std::array::from_fn(|_| Cell::default()) }
    }
}

impl PacingTally {
    /// So many calls are told together.
    pub(super) const CALLS: u64 = 64;
    /// After so many calls the lots of those who did not come again make room.
    const FORGOTTEN: u64 = 65_536;
    /// How many callers have a lot at a time. One for whom there is no room is counted call by call.
    const LOTS: usize = 256;
    const LOT: NonZeroU32 = NonZeroU32::new(16).unwrap();
    /// Lots are for limits that they make no difference to.
    const LEAST_BURST: u32 = 100 * Self::LOT.get();

    /// Whether another [`Self::CALLS`] calls were made with this one.
    pub(super) fn call(&self) -> bool {
        let calls = self.calls.get() + 1;
        self.calls.set(calls);
        if calls.is_multiple_of(Self::FORGOTTEN) {
            self.lots.iter().for_each(|lot| lot.set(Lot::default()));
        }
        calls.is_multiple_of(Self::CALLS)
    }

    /// Counts a call of one who calls much, to within a lot: calls that were counted may come later, or never.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(super) fn admit(&self, limiter: &Limiter, key: u64) -> Result<(), Duration> {
        let place = usize::try_from(key).unwrap_or(0) % Self::LOTS;
        if let Some(place) = self.lots.get(place) {
            let lot = place.get();
            if lot.left == 0 {
                if limiter.burst() >= Self::LEAST_BURST && limiter.count(key, Self::LOT).is_ok() {
                    place.set(Lot { key, left: Self::LOT.get() - 1 });
                    return Ok(());
                }
            } else if lot.key == key {
                place.set(Lot { key, left: lot.left - 1 });
                return Ok(());
            }
        }
        limiter.count(key, NonZeroU32::MIN)
    }
}
