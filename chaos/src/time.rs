//! System clock in microseconds, and the load factor that extends time limits on a busy machine.

use pos_adapters::clock::SystemClock;
use pos_port_clock::Clock as _;

use crate::model::Instant;

/// The current time.
pub(crate) fn now() -> Instant {
    let nanos = SystemClock.now().unix_timestamp_nanos();
    Instant::try_from(nanos / 1_000).unwrap_or(Instant::MAX)
}

/// The factor by which time limits are extended at the current load: 1 while at most two processes wait for each core,
/// and at most 3.
pub(crate) fn load_factor() -> f64 {
    (load_per_core() / 2.0).clamp(1.0, 3.0)
}

/// The load average of the last minute for each core.
pub(crate) fn load_per_core() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
    load / std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}
