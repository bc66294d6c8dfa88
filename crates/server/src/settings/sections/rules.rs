use std::time::Duration;

use pos_domain::AppVersion;

use crate::settings::reader::Reader;

/// Pairing codes.
#[derive(Debug, Clone)]
pub struct PairingSettings {
    /// How long a code is good; whole seconds.
    pub code_ttl: Duration,
}

impl PairingSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.seconds("pairing.code_ttl_secs", 1..=3600).map(|code_ttl| Self { code_ttl })
    }
}

/// What terminals are told.
#[derive(Debug, Clone)]
pub struct TerminalSettings {
    /// The oldest app version that is supported.
    pub min_supported_version: AppVersion,
    /// How long one may have its status held back while nothing changes; zero: not at all.
    pub max_wait: Duration,
    /// How often one that waits is looked at without word of a change.
    pub wait_recheck: Duration,
    /// How many may wait so at once.
    pub max_waiting: usize,
}

impl TerminalSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let version = reader.text("terminal.min_supported_version", |text| {
            text.parse().map_err(|error| (format!("is {text:?}: {error}"), "write a version like 1.3.5".to_owned()))
        });
        let max_wait = reader.seconds("terminal.max_wait_secs", 0..=300);
        let wait_recheck = reader.seconds("terminal.wait_recheck_secs", 1..=300);
        let max_waiting = reader.number("terminal.max_waiting", 0..=1_000_000);
        Some(Self {
            min_supported_version: version?,
            max_wait: max_wait?,
            wait_recheck: wait_recheck?,
            max_waiting: max_waiting?,
        })
    }
}

/// The bound on failed claims.
#[derive(Debug, Clone)]
pub struct ClaimSettings {
    /// How many may fail in a window.
    pub max_failures: u32,
    /// How long a window is.
    pub failure_window: Duration,
}

impl ClaimSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_failures = reader.number("claim.max_failures", 1..=1_000_000);
        let failure_window = reader.seconds("claim.failure_window_secs", 1..=604_800);
        Some(Self { max_failures: max_failures?, failure_window: failure_window? })
    }
}

/// Creating calls that are sent more than once.
#[derive(Debug, Clone)]
pub struct IdempotencySettings {
    /// How long their answers are kept.
    pub keep: Duration,
}

impl IdempotencySettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.seconds("idempotency.keep_secs", 60..=2_592_000).map(|keep| Self { keep })
    }
}

/// Files of devices.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// The most rows of one.
    pub max_rows: u64,
    /// From the head of the request to the first line of the answer.
    pub timeout: Duration,
    /// For the next piece of the file.
    pub stall_timeout: Duration,
    /// How many are under way for each worker.
    pub max_at_once: usize,
    /// How many rows of a reseller's imports may be refused in a window.
    pub max_refused_rows: u64,
    /// How long such a window is.
    pub refusal_window: Duration,
}

impl ImportSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_rows = reader.number("import.max_rows", 1..=10_000_000);
        let timeout = reader.seconds("import.timeout_secs", 1..=3600);
        let stall_timeout = reader.seconds("import.stall_timeout_secs", 1..=600);
        let max_at_once = reader.number("import.max_at_once", 1..=10_000);
        let max_refused_rows = reader.number("import.max_refused_rows", 1..=10_000_000);
        let refusal_window = reader.seconds("import.refusal_window_secs", 60..=86_400);
        Some(Self {
            max_rows: max_rows?,
            timeout: timeout?,
            stall_timeout: stall_timeout?,
            max_at_once: max_at_once?,
            max_refused_rows: max_refused_rows?,
            refusal_window: refusal_window?,
        })
    }
}
