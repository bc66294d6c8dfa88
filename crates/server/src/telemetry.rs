//! Logging: one subscriber per process, which writes log lines to standard error.
//!
//! A JSON line has the event's own fields at the top level (`message`, `level`, `target`, …) and the fields of every
//! enclosing span in `spans`, outermost first, with the innermost repeated in `span`. So each line of a request has its
//! `trace_id` and `device_id`, at any depth.
//!
//! One thread writes the lines, from a bounded queue (`log_writer.rs`), so a slow reader of standard error blocks no other
//! thread.

use std::io::{self, IsTerminal};

use pos_adapters::http::CallSpans;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::log_writer::{LogGuard, LogWriter};
use crate::settings::{LogFormat, LogSettings};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The process has a subscriber already.
    #[error("the log was set up twice")]
    AlreadySet(#[from] TryInitError),
}

/// An invalid log filter.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFilter {
    /// It is empty, or a part of it is neither a level nor `target=level`.
    #[error("{0:?} is neither a level (off, error, warn, info, debug, trace) nor target=level")]
    NoLevel(String),
    /// The filter library cannot parse it.
    #[error(transparent)]
    Syntax(#[from] tracing_subscriber::filter::ParseError),
}

/// Sets up the log of this process. Called once, before anything else. Dropping the guard writes the queued lines, for a
/// bounded time.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(settings: &LogSettings) -> Result<LogGuard, TelemetryError> {
    let (lines, guard) = LogWriter::start(io::stderr());
    subscriber(settings, lines, io::stderr().is_terminal())?.try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(location, message, "panicked");
    }));
    Ok(guard)
}

/// The dispatcher logs every malformed request as a server error; the request middleware logs those itself.
const DISPATCHER_OFF: &str = "actix_http::h1::dispatcher=off";

/// At debug the library logs the parameters of every statement, among them codes and hashes. This directive comes last, so
/// that no setting can enable it by mistake.
const QUERY_PARAMETERS_OFF: &str = "tokio_postgres::query=info";

/// Parses a log filter. A bare word that is not a level is rejected; the library would take it for a module and log almost
/// nothing.
///
/// # Errors
/// [`InvalidFilter`].
pub(crate) fn filter(text: &str) -> Result<Targets, InvalidFilter> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |part: &str| LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level));
    let parts: Vec<_> = text.split(',').map(str::trim).collect();
    if let Some(part) = parts.iter().find(|part| !part.contains('=') && !is_level(part)) {
        return Err(InvalidFilter::NoLevel((*part).to_owned()));
    }
    Ok(format!("{DISPATCHER_OFF},{},{QUERY_PARAMETERS_OFF}", parts.join(",")).parse()?)
}

fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    colours: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>, InvalidFilter>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filtered = tracing_subscriber::registry().with(filter(&settings.level)?).with(CallSpans);
    // The layer would print its own errors to standard error, and block there.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    Ok(match settings.format {
        LogFormat::Json => {
            Box::new(filtered.with(lines.json().flatten_event(true).with_current_span(true).with_span_list(true)))
        }
        LogFormat::Pretty => Box::new(filtered.with(lines.pretty().with_ansi(colours))),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, emit: impl FnOnce()) -> Vec<String> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let settings = LogSettings { format, level: level.to_owned() };
        let subscriber = subscriber(&settings, move || writer.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, emit);
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_json_line_has_its_fields_at_the_top_and_those_of_every_span() {
        let lines = logged(LogFormat::Json, "info", || {
            let request =
                tracing::info_span!("request", trace_id = "abc123", device_id = tracing::field::Empty).entered();
            request.record("device_id", "POS-1\"");
            tracing::info!(status = 200, "answered");
            let _inner = tracing::info_span!("save", attempt = 2).entered();
            tracing::warn!("slow");
            drop(request);
        });
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["message"], &lines[0]["status"]), (&"answered".into(), &200.into()));
        assert_eq!(
            (&lines[0]["span"]["trace_id"], &lines[0]["span"]["device_id"]),
            (&"abc123".into(), &"POS-1\"".into())
        );
        assert_eq!(lines[1]["level"], "WARN");
        assert_eq!(
            (&lines[1]["spans"][0]["trace_id"], &lines[1]["spans"][1]["attempt"]),
            (&"abc123".into(), &2.into())
        );
        assert!(lines[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn pretty_is_text_without_colours_when_not_on_a_terminal() {
        let lines = logged(LogFormat::Pretty, "info", || tracing::info!("hello"));
        assert!(lines[0].contains("INFO") && lines[0].contains("hello"), "{lines:?}");
        assert!(!lines.concat().contains('\u{1b}'));
    }

    #[test]
    fn the_filter_applies() {
        let emit = || {
            tracing::debug!("detail");
            tracing::debug!(target: "pos_adapter_http", "adapter");
            tracing::info!("news");
        };
        assert_eq!(logged(LogFormat::Json, "info", emit).len(), 1);
        assert_eq!(logged(LogFormat::Json, "INFO, pos_adapter=debug", emit).len(), 2);
        assert_eq!(logged(LogFormat::Json, "off", emit).len(), 0);
    }

    #[test]
    fn statement_parameters_are_never_logged() {
        let emit = || tracing::debug!(target: "tokio_postgres::query", "with parameters");
        for level in ["trace", "debug,tokio_postgres=trace", "tokio_postgres::query=debug"] {
            assert_eq!(logged(LogFormat::Json, level, emit).len(), 0, "{level}");
        }
    }

    #[test]
    fn a_filter_that_would_log_nothing_by_mistake_is_rejected() {
        for bad in ["", "inof", "info,", "info,adapters", "pos=loud", "[request"] {
            assert!(filter(bad).is_err(), "{bad:?}");
        }
        let settings = LogSettings { format: LogFormat::Json, level: "inof".to_owned() };
        assert!(matches!(init(&settings), Err(TelemetryError::Filter(InvalidFilter::NoLevel(part))) if part == "inof"));
    }
}
