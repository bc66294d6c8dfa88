//! `[limits]` settings.

use pos_adapters::http::{Rate, RateLimits};

use crate::settings::reader::Reader;

/// Rate limits of terminals.
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    /// Per device and per address; 0 requests a minute is no limit.
    pub rates: RateLimits,
}

impl LimitSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let per_minute = reader.number("limits.device_per_minute", 0..=1_000_000);
        let burst = reader.number("limits.device_burst", 1..=1_000_000);
        let per_device = per_minute.zip(burst).map(|(per_minute, burst)| Rate { per_minute, burst });
        let per_minute = reader.number("limits.address_per_minute", 0..=1_000_000_000);
        let burst = reader.number("limits.address_burst", 1..=1_000_000_000);
        let per_address = per_minute.zip(burst).map(|(per_minute, burst)| Rate { per_minute, burst });
        Some(Self { rates: RateLimits { per_device: per_device?, per_address: per_address? } })
    }
}
