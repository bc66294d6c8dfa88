//! Settings of the business rules: `[pairing]`, `[terminal]`, `[claim]`, `[idempotency]` and `[import]`.

use std::time::Duration;

use pos_domain::device::AppVersion;

use crate::settings::reader::Reader;

/// Pairing code settings.
#[derive(Debug, Clone)]
pub struct PairingSettings {
    /// Lifetime of a code, in whole seconds.
    pub code_ttl: Duration,
}

impl PairingSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.seconds("pairing.code_ttl_secs", 1..=3600).map(|code_ttl| Self { code_ttl })
    }
}

/// Terminal settings.
#[derive(Debug, Clone)]
pub struct TerminalSettings {
    /// Oldest supported app version.
    pub min_supported_version: AppVersion,
    /// Maximum time that a status request is held; zero disables waiting.
    pub max_wait: Duration,
    /// How often the status of a held request is read without a notification.
    pub wait_recheck: Duration,
    /// Maximum held status requests.
    pub max_held_status_requests: usize,
}

impl TerminalSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let version = reader.text("terminal.min_supported_version", |text| {
            text.parse().map_err(|error| (format!("is {text:?}: {error}"), "write a version like 1.3.5".to_owned()))
        });
        let max_wait = reader.seconds("terminal.max_wait_secs", 0..=300);
        let wait_recheck = reader.seconds("terminal.wait_recheck_secs", 1..=300);
        let max_held_status_requests = reader.number("terminal.max_held_status_requests", 0..=1_000_000);
        Some(Self {
            min_supported_version: version?,
            max_wait: max_wait?,
            wait_recheck: wait_recheck?,
            max_held_status_requests: max_held_status_requests?,
        })
    }
}

/// Limit on failed claims.
#[derive(Debug, Clone)]
pub struct ClaimSettings {
    /// Maximum failed claims in a window.
    pub max_failures: u32,
    /// Length of a window.
    pub failure_window: Duration,
}

impl ClaimSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_failures = reader.number("claim.max_failures", 1..=1_000_000);
        let failure_window = reader.seconds("claim.failure_window_secs", 1..=604_800);
        Some(Self { max_failures: max_failures?, failure_window: failure_window? })
    }
}

/// Idempotency settings.
#[derive(Debug, Clone)]
pub struct IdempotencySettings {
    /// How long a response is stored.
    pub keep: Duration,
}

impl IdempotencySettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.seconds("idempotency.keep_secs", 60..=2_592_000).map(|keep| Self { keep })
    }
}

/// Device import settings.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// Maximum rows of a file.
    pub max_rows: u64,
    /// Timeout from the request head to the first line of the response.
    pub timeout: Duration,
    /// Timeout for the next part of the file.
    pub stall_timeout: Duration,
    /// Concurrency limit, per worker.
    pub max_concurrent: usize,
    /// Maximum refused rows of a reseller's imports in a window.
    pub max_refused_rows: u64,
    /// Length of a window.
    pub refusal_window: Duration,
}

impl ImportSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let max_rows = reader.number("import.max_rows", 1..=10_000_000);
        let timeout = reader.seconds("import.timeout_secs", 1..=3600);
        let stall_timeout = reader.seconds("import.stall_timeout_secs", 1..=600);
        let max_concurrent = reader.number("import.max_concurrent", 1..=10_000);
        let max_refused_rows = reader.number("import.max_refused_rows", 1..=10_000_000);
        let refusal_window = reader.seconds("import.refusal_window_secs", 60..=86_400);
        Some(Self {
            max_rows: max_rows?,
            timeout: timeout?,
            stall_timeout: stall_timeout?,
            max_concurrent: max_concurrent?,
            max_refused_rows: max_refused_rows?,
            refusal_window: refusal_window?,
        })
    }
}
