//! Standard output and standard error of the commands.
//!
//! A command whose standard output was closed ends quietly, as in `ls | head`, with the exit status of a process that
//! SIGPIPE ended, because not all of its output was read. Any other write error is reported. Standard error is for people;
//! if it cannot be written the command continues.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why standard output could not be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The reader closed it.
    #[error("standard output was closed")]
    Closed,
    /// The write failed, for example on a full disk.
    #[error("cannot write to standard output")]
    Failed(#[source] io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

/// Exit status of a process that SIGPIPE ended, as shells report it: 128 plus the number of the signal.
const STATUS_CLOSED: u8 = 141;

/// How long the end of the process waits for its error message to be written.
const ERROR_MESSAGE_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes a line to standard output: `out!("…", …)?`.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// Writes a line that confirms an action: `confirm!("…", …)?`. Its error says that the action was done.
macro_rules! confirm {
    ($($text:tt)*) => {
        anyhow::Context::context(
            $crate::output::print(format_args!($($text)*)),
            "done, but the confirmation could not be printed",
        )
    };
}

/// Writes a line to standard error and ignores errors: `note!("…", …)`.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::print_note(format_args!($($text)*)) };
}

pub(crate) use {confirm, note, out};

/// See [`out!`].
pub(crate) fn print(line: fmt::Arguments<'_>) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// See [`note!`].
pub(crate) fn print_note(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Buffered lines for standard output.
pub(crate) struct Lines(BufWriter<Stdout>);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), OutputError> {
        Ok(writeln!(self.0, "{line}")?)
    }

    pub(crate) fn finish(mut self) -> Result<(), OutputError> {
        Ok(self.0.flush()?)
    }
}

/// Prints clap's output (help, version, or what is wrong with the arguments), and returns the exit status.
#[must_use]
pub fn end_with_usage(shown: &clap::Error) -> ExitCode {
    let written = shown.print().and_then(|()| io::stdout().flush());
    match written.map_err(OutputError::from) {
        Err(error) if !shown.use_stderr() => end_with(&error.into()),
        // Usage errors have exit status 2, other errors 1.
        _ => u8::try_from(shown.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// Prints why a command failed, and returns the exit status.
#[must_use]
pub fn end_with(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OutputError::Closed))) {
        return ExitCode::from(STATUS_CLOSED);
    }
    let text = format!("error: {error:#}");
    // A server must stop even if nobody reads its standard error.
    within(ERROR_MESSAGE_TIMEOUT, move || print_note(format_args!("{text}")));
    ExitCode::FAILURE
}

/// Runs work that may block for ever on its own thread, and waits for it at most `limit`.
pub(crate) fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = thread::Builder::new().name("bounded work".to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    if worker.is_ok() {
        let _ = ended.recv_timeout(limit);
    }
}
