//! This machine's clock.

use pos_adapters::clock::SystemClock;
use pos_port_clock::Clock as _;

use crate::model::Instant;

/// The instant that it is.
pub(crate) fn now() -> Instant {
    let nanos = SystemClock.now().unix_timestamp_nanos();
    Instant::try_from(nanos / 1_000).unwrap_or(Instant::MAX)
}
