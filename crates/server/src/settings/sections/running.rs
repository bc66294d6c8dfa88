use std::time::Duration;

use crate::settings::reader::{Reader, Verdict};
use crate::telemetry;

/// The log.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// For machines or for people.
    pub format: LogFormat,
    /// What is logged: a level, or `target=level`, separated by commas.
    pub level: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Coloured text over several lines, if standard error is a terminal.
    Pretty,
}

impl LogSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let format = reader.text("log.format", format);
        let level = reader.text("log.level", |text| match telemetry::filter(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => {
                Err((format!("is {text:?}: {error}"), "write one like info or info,pos_adapters=debug".into()))
            }
        });
        Some(Self { format: format?, level: level? })
    }
}

fn format(text: &str) -> Verdict<LogFormat> {
    match text {
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err((format!("is {text:?}, which is no format"), "write json or pretty".to_owned())),
    }
}

/// The end of the process.
#[derive(Debug, Clone)]
pub struct ShutdownSettings {
    /// For requests under way.
    pub grace: Duration,
    /// Between the signal and the moment new connections are refused.
    pub readiness_delay: Duration,
}

impl ShutdownSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let grace = reader.seconds("shutdown.grace_secs", 0..=3600);
        let readiness_delay = reader.seconds("shutdown.readiness_delay_secs", 0..=600);
        Some(Self { grace: grace?, readiness_delay: readiness_delay? })
    }
}

/// Metrics.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// Whether `GET /metrics` answers.
    pub enabled: bool,
}

impl MetricsSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.flag("metrics.enabled").map(|enabled| Self { enabled })
    }
}
