//! Output of the demo: steps, explanations and the HTTP exchanges.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use pos_terminal::{Sent, WireLog};

use crate::output::{OutputError, print};

/// Prints the demo on standard output.
#[derive(Default)]
pub(super) struct Narrator {
    steps: AtomicUsize,
    /// The error of the first failed write; after it nothing is written.
    failure: Mutex<Option<OutputError>>,
}

impl Narrator {
    /// Prints the heading of the next step.
    ///
    /// # Errors
    /// If this or an earlier write failed.
    pub(super) fn step(&self, title: &str) -> Result<(), OutputError> {
        let number = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        self.write(format_args!("\n{number}. {title}\n"));
        self.check()
    }

    /// Prints a line of explanation.
    ///
    /// # Errors
    /// If this or an earlier write failed.
    pub(super) fn text(&self, text: &str) -> Result<(), OutputError> {
        self.write(format_args!("   {text}"));
        self.check()
    }

    pub(super) fn screen(&self, code: &str) {
        let spaced = code.chars().map(String::from).collect::<Vec<_>>().join(" ");
        let frame = [
            "╭───────────────────────╮",
            "│  Type this code in    │",
            "│  your back office:    │",
            "│                       │",
            &format!("│      {spaced}      │"),
            "│                       │",
            "╰───────────────────────╯",
        ];
        self.write(format_args!("\n      {}", frame.join("\n      ")));
    }

    /// Prints a request and its response for a reader: without transport headers, JSON on one line.
    pub(super) fn wire(&self, sent: &Sent, request_body: Option<&str>, http_status: u16, body: &str) {
        let path = sent.url.splitn(4, '/').nth(3).unwrap_or_default();
        self.write(format_args!("   → {} /{path}", sent.method));
        let shown = ["x-device-id", "user-agent", "x-client-type", "authorization", "content-type"];
        for (name, value) in sent.headers.iter().filter(|(name, _)| shown.contains(&name.as_str())) {
            self.write(format_args!("     {name}: {value}"));
        }
        if let Some(line) = request_body {
            self.write(format_args!("     {line}"));
        }
        self.write(format_args!("   ← {http_status} {body}"));
    }

    fn write(&self, line: fmt::Arguments<'_>) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = print(line).err();
        }
    }

    fn check(&self) -> Result<(), OutputError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl WireLog for Narrator {
    fn exchange(&self, sent: &Sent, http_status: u16, body: &str) {
        self.wire(sent, None, http_status, body);
    }
}
