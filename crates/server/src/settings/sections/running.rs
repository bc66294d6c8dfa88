//! Settings of the process: `[log]`, `[shutdown]` and `[metrics]`.

use std::time::Duration;

use crate::settings::reader::{Reader, Validated};
use crate::telemetry;

/// Log settings.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Output format.
    pub format: LogFormat,
    /// Filter: a level, or `target=level`, separated by commas.
    pub level: String,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text over several lines, coloured if standard error is a terminal.
    Pretty,
}

impl LogSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let format = reader.text("log.format", format);
        let level = reader.text("log.level", |text| match telemetry::filter(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => {
                Err((format!("is {text:?}: {error}"), "write one like info or info,pos_adapter=debug".into()))
            }
        });
        Some(Self { format: format?, level: level? })
    }
}

fn format(text: &str) -> Validated<LogFormat> {
    match text {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err((format!("is {text:?}, which is not a known format"), "write json or pretty".to_owned())),
    }
}

/// Shutdown settings.
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    /// Grace period of requests in progress.
    pub grace: Duration,
    /// Time between the signal and the refusal of new connections.
    pub readiness_delay: Duration,
}

impl ShutdownSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let grace = reader.seconds("shutdown.grace_secs", 0..=3600);
        let readiness_delay = reader.seconds("shutdown.readiness_delay_secs", 0..=600);
        Some(Self { grace: grace?, readiness_delay: readiness_delay? })
    }
}

/// Metrics settings.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Whether `GET /metrics` is served.
    pub enabled: bool,
}

impl MetricsSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.flag("metrics.enabled").map(|enabled| Self { enabled })
    }
}
