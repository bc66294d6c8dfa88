//! This machine's clock.

use pos_adapters::clock::SystemClock;
use pos_port_clock::Clock as _;

use crate::model::Instant;

/// The instant that it is.
pub(crate) fn now() -> Instant {
    let nanos = SystemClock.now().unix_timestamp_nanos();
    Instant::try_from(nanos / 1_000).unwrap_or(Instant::MAX)
}

/// How much longer things may take on a machine that is this busy: 1 while no more than two processes wait for each
/// core, and 3 at the most.
pub(crate) fn patience() -> f64 {
    (load_per_core() / 2.0).clamp(1.0, 3.0)
}

/// The load average of the last minute, for each core.
pub(crate) fn load_per_core() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
    load / std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}
