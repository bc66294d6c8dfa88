//! Standard output and standard error of the commands.
//!
//! A command whose standard output was closed ends quietly, as `ls | head` does: with the status of a process that SIGPIPE
//! ended, as not all of its output was read. Any other failure to write is an error. What goes to standard error is for
//! people who watch; if it cannot be written the command goes on.

use std::fmt;
use std::io::{self, BufWriter, Stdout, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why standard output was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Its reader has gone away.
    #[error("standard output was closed")]
    Closed,
    /// It refuses, as a full disk does.
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

/// 128 and the number of SIGPIPE, as shells report a process that it ended.
const STATUS_CLOSED: u8 = 141;

/// How long the end of the process waits for its last words to be written.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(500);

/// Writes a line to standard output: `say!("…", …)?`.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::print(format_args!($($text)*)) };
}

/// Writes a line that tells what was done: `confirm!("…", …)?`. Its error says that it was done.
macro_rules! confirm {
    ($($text:tt)*) => {
        anyhow::Context::context(
            $crate::output::print(format_args!($($text)*)),
            "it was done, but that could not be shown",
        )
    };
}

/// Writes a line to standard error, if that can be written: `note!("…", …)`.
macro_rules! note {
    ($($text:tt)*) => { $crate::output::print_note(format_args!($($text)*)) };
}

pub(crate) use {confirm, note, say};

/// See [`say!`].
pub(crate) fn print(line: fmt::Arguments<'_>) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// See [`note!`].
pub(crate) fn print_note(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Many lines for standard output, which are written together.
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

/// Shows what clap has to say (help, the version, what is wrong with the arguments), and the exit status.
#[must_use]
pub fn end_with_usage(shown: &clap::Error) -> ExitCode {
    let written = shown.print().and_then(|()| io::stdout().flush());
    match written.map_err(OutputError::from) {
        Err(error) if !shown.use_stderr() => end_with(&error.into()),
        // Unlike a command's own errors these have status 2.
        _ => u8::try_from(shown.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

/// Shows why a command failed, and the exit status.
#[must_use]
pub fn end_with(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(OutputError::Closed))) {
        return ExitCode::from(STATUS_CLOSED);
    }
    let text = format!("error: {error:#}");
    // A server that stops must end even if nobody reads what it says.
    within(LAST_WORDS_TIMEOUT, move || print_note(format_args!("{text}")));
    ExitCode::FAILURE
}

/// Does something that may block for ever, and waits no longer than so long for it.
pub(crate) fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let worker = thread::Builder::new().name("last words".to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    if worker.is_ok() {
        let _ = ended.recv_timeout(limit);
    }
}
