//! What one thread counts for itself. A counter that all threads share for each call of a shop, or of a whole carrier, is what
//! they would wait for most.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use super::pacing::Limiter;

/// The tally of one thread.
pub(super) struct PacingTally {
    untold: Cell<u64>,
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
        Self { untold: Cell::default(), lots: std::array::from_fn(|_| Cell::default()) }
    }
}

impl PacingTally {
    /// So many calls are told together.
    pub(super) const CALLS: u64 = 64;
    /// How many callers have a lot at a time; one more takes the place of another, whose calls stay counted.
    const LOTS: usize = 256;
    const LOT: NonZeroU32 = NonZeroU32::new(16).unwrap();

    /// Whether another [`Self::CALLS`] calls were made with this one.
    pub(super) fn call(&self) -> bool {
        let untold = self.untold.get() + 1;
        self.untold.set(untold % Self::CALLS);
        untold == Self::CALLS
    }

    /// Counts a call of one who calls much. There are never more than if each was counted when it comes, but those of a lot may
    /// come later.
    ///
    /// # Errors
    /// How long to wait, when there were too many.
    pub(super) fn admit(&self, limiter: &Limiter, key: u64) -> Result<(), Duration> {
        let place = usize::try_from(key).unwrap_or(0) % Self::LOTS;
        let Some(place) = self.lots.get(place) else {
            return limiter.count(key, NonZeroU32::MIN);
        };
        let lot = place.get();
        if lot.key == key && lot.left > 0 {
            place.set(Lot { key, left: lot.left - 1 });
            return Ok(());
        }
        if limiter.count(key, Self::LOT).is_ok() {
            place.set(Lot { key, left: Self::LOT.get() - 1 });
            return Ok(());
        }
        limiter.count(key, NonZeroU32::MIN)
    }
}
