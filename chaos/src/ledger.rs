//! What was tried, what was answered, and what must not have been.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_terminal::{ApiError, CallError};
use serde::Serialize;

use crate::model::{Contradiction, Instant, SECOND};
use crate::time::{load_per_core, now, patience};

/// How long after the end of a fault answers may still be failures.
pub(crate) const GRACE: Instant = 8 * SECOND;

/// How long after the end of a fault each server must have given a good answer.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

/// That, on a machine as busy as it is now.
pub(crate) fn grace() -> Duration {
    Duration::from_micros(GRACE.unsigned_abs()).mul_f64(patience())
}

/// A server on a machine with more processes waiting for each core than this may truly be overloaded without a fault.
const TOO_BUSY: f64 = 3.0;

/// Violations beyond these are counted, not kept.
const KEPT: usize = 100;

/// Something that must not be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Violation {
    /// Seconds since the start.
    pub(crate) at: f64,
    pub(crate) act: &'static str,
    pub(crate) what: String,
    /// What was sent and answered before, without a code.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<String>,
}

/// A fault that was made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Made {
    pub(crate) act: &'static str,
    pub(crate) fault: &'static str,
    /// Seconds since the start.
    pub(crate) at: f64,
    pub(crate) lasted: f64,
    /// Seconds from its end to a good answer of every server.
    pub(crate) recovered: f64,
    /// Calls that were answered 503 or not at all, from its begin to the recovery.
    pub(crate) felt: u64,
    pub(crate) seen: String,
}

#[derive(Debug, Default)]
struct Book {
    calls: BTreeMap<String, BTreeMap<String, u64>>,
    faults: Vec<Made>,
    violations: Vec<Violation>,
    more_violations: u64,
    busiest: f64,
    put_down_to_the_machine: u64,
    /// Spans in which failures are allowed, and whose: from a fault's begin to its end.
    disturbed: Vec<(Excused, Option<Instant>)>,
    /// Until when changes may take no longer than this, but for those of one device.
    watched: Option<(String, Duration)>,
    notes: Vec<String>,
}

/// One for each act.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) act: &'static str,
    started: Instant,
    /// How busy the machine is, for each core.
    load: fn() -> f64,
    book: Mutex<Book>,
}

/// All of it, for the report.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Account {
    pub(crate) calls: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) faults: Vec<Made>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) more_violations: u64,
    /// The highest load average for each core.
    pub(crate) busiest: f64,
    pub(crate) notes: Vec<String>,
}

/// Whose failures a fault excuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Excused {
    /// Everybody's.
    Everybody,
    /// Those of calls to one server.
    Server(String),
    /// Those of calls about one device.
    Device(String),
}

impl Excused {
    fn covers(&self, at: &Underway<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Server(name) => at.server == name,
            Self::Device(id) => at.device == Some(id),
        }
    }
}

/// Where and when a call was under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Underway<'a> {
    pub(crate) call: &'a str,
    pub(crate) about: &'a str,
    /// The server that it went to.
    pub(crate) server: &'a str,
    /// The device that it was about, if that is known.
    pub(crate) device: Option<&'a str>,
    pub(crate) sent: Instant,
    /// Whether the server that it went to was away at any time meanwhile.
    pub(crate) server_was_down: bool,
}

impl Ledger {
    /// An empty one for an act of a run that began at `started`.
    pub(crate) fn new(act: &'static str, started: Instant) -> Self {
        Self { act, started, load: load_per_core, book: Mutex::default() }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, call: &str, answer: &str) {
        let mut book = self.book();
        *book.calls.entry(call.to_owned()).or_default().entry(answer.to_owned()).or_default() += 1;
    }

    /// Something for the report that is neither good nor bad.
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.book().notes.push(note.into());
    }

    pub(crate) fn violation(&self, what: impl Into<String>, history: Vec<String>) {
        let (at, what) = (self.seconds(now()), what.into());
        let mut book = self.book();
        if book.violations.len() < KEPT {
            eprintln!("VIOLATION at {at:.1} s, {}: {what}", self.act);
            let act = self.act;
            book.violations.push(Violation { at, act, what, history });
        } else {
            book.more_violations += 1;
        }
    }

    pub(crate) fn contradiction(&self, about: &str, found: Contradiction) {
        self.violation(format!("{about}: {}", found.answer), found.history);
    }

    /// From now on failures are allowed to these; the answer ends that.
    pub(crate) fn excuse(&self, whose: Excused) -> usize {
        let mut book = self.book();
        book.disturbed.push((whose, None));
        book.disturbed.len() - 1
    }

    /// Whether there was ever a fault that excused everybody.
    pub(crate) fn was_disturbed_for_all(&self) -> bool {
        self.book().disturbed.iter().any(|(whose, _)| *whose == Excused::Everybody)
    }

    /// How many calls had this answer.
    pub(crate) fn counted(&self, answer: &str) -> u64 {
        self.book().calls.values().filter_map(|answers| answers.get(answer)).sum()
    }

    /// From now on, until it is called with none, a change of another device than this may take no longer than so long.
    pub(crate) fn watch_changes(&self, limit: Option<(String, Duration)>) {
        self.book().watched = limit;
    }

    /// A change of a device was answered.
    pub(crate) fn changed(&self, device: &str, sent: Instant) {
        let Some((held, limit)) = self.book().watched.clone() else { return };
        let took = Duration::from_micros(u64::try_from(now() - sent).unwrap_or_default());
        if held != device && took > limit.mul_f64(patience()) && (self.load)() <= TOO_BUSY {
            let what = format!("a change of {device} took {took:.1?} while only the row of {held} was held");
            self.violation(what, Vec::new());
        }
    }

    pub(crate) fn calm(&self, disturbance: usize) {
        if let Some(span) = self.book().disturbed.get_mut(disturbance) {
            span.1 = Some(now());
        }
    }

    pub(crate) fn made(&self, made: Made) {
        self.book().faults.push(made);
    }

    /// Counts a call that was not answered, or with a failure of the server's, and says so when that was not allowed.
    /// 4xx answers are for the caller to judge: they are counted here and given back.
    pub(crate) fn failed(&self, at: Underway<'_>, error: CallError) -> Option<Box<ApiError>> {
        let Underway { call, about, sent, server_was_down, .. } = at;
        let wrong = |what: String| {
            let sent = self.seconds(sent);
            self.violation(format!("{call} {about}, sent at {sent:.1} s: {what}"), Vec::new());
        };
        match error {
            CallError::Api(error) if error.http_status < 500 && error.http_status != 429 => {
                self.count(call, &format!("{} {}", error.http_status, error.code));
                return Some(error);
            }
            CallError::Api(error) => {
                self.count(call, &format!("{} {}", error.http_status, error.code));
                let traced = error.trace_id.len() == 32 && error.trace_id.bytes().all(|b| b.is_ascii_hexdigit());
                if (error.http_status, error.code.as_str()) != (503, "5003") || error.retry_after.is_none() || !traced {
                    wrong(format!("no proper 503: {error}, Retry-After {:?}", error.retry_after));
                } else if !self.is_disturbed(&at) && (self.load)() > TOO_BUSY {
                    self.count(call, "503 of a machine that was too busy");
                    self.book().put_down_to_the_machine += 1;
                } else if !self.is_disturbed(&at) {
                    wrong(format!("503 while nothing was wrong: {error}"));
                }
            }
            CallError::TimedOut { trace_id } => {
                self.count(call, "no answer in time");
                if !server_was_down {
                    wrong(format!("no answer in time from a server that was there (trace {trace_id})"));
                }
            }
            error @ CallError::Unreachable { .. } => {
                self.count(call, "no connection");
                // A server that goes on after a pause finds the time of new connections over.
                if !server_was_down && !self.was_paused(&at) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    wrong(format!("no connection to a server that was there: {error}: {cause}"));
                }
            }
            error @ CallError::Unexpected { .. } => {
                self.count(call, "no envelope");
                wrong(error.to_string());
            }
        }
        None
    }

    /// Whether there was a fault that excuses it, or had just been one, at any time since it was sent.
    /// Whether its server was paused when the call was sent.
    fn was_paused(&self, at: &Underway<'_>) -> bool {
        let is_paused = |whose: &Excused| matches!(whose, Excused::Server(name) if at.server == name);
        self.book().disturbed.iter().any(|(whose, end)| is_paused(whose) && end.is_none_or(|end| end >= at.sent))
    }

    fn is_disturbed(&self, at: &Underway<'_>) -> bool {
        let grace = i64::try_from(grace().as_micros()).unwrap_or(Instant::MAX / 2);
        let lasts = |end: &Option<Instant>| end.is_none_or(|end| end + grace >= at.sent);
        self.book().disturbed.iter().any(|(whose, end)| lasts(end) && whose.covers(at))
    }

    /// How busy the machine is, for each core.
    pub(crate) fn busy(&self, load: f64) {
        let mut book = self.book();
        book.busiest = book.busiest.max(load);
    }

    /// The last lines of progress: calls, failures, faults, violations.
    pub(crate) fn totals(&self) -> (u64, u64, usize, u64) {
        let book = self.book();
        let (mut all, mut failed) = (0, 0);
        for (answer, count) in book.calls.values().flatten() {
            all += count;
            if answer.starts_with('5') || answer.starts_with("no ") {
                failed += count;
            }
        }
        (all, failed, book.faults.len(), book.violations.len() as u64 + book.more_violations)
    }

    /// 503s without a fault that a busy machine excuses are told, and more than one call in a hundred is too much.
    pub(crate) fn judge_the_machine(&self) {
        let (all, ..) = self.totals();
        let excused = self.book().put_down_to_the_machine;
        if excused > 0 {
            self.note(format!(
                "LEFT OUT: {excused} calls answered 503 without a fault were put down to a busy machine"
            ));
        }
        if excused * 100 > all {
            self.violation(format!("{excused} of {all} calls were answered 503 without a fault"), Vec::new());
        }
    }

    /// Adds what is in here to an account.
    pub(crate) fn close_into(&self, account: &mut Account) {
        let book = self.book();
        for (call, answers) in &book.calls {
            for (answer, count) in answers {
                *account.calls.entry(call.clone()).or_default().entry(answer.clone()).or_default() += count;
            }
        }
        account.faults.extend(book.faults.iter().cloned());
        account.violations.extend(book.violations.iter().cloned());
        account.more_violations += book.more_violations;
        account.busiest = account.busiest.max(book.busiest);
        account.notes.extend(book.notes.iter().map(|note| format!("{}: {note}", self.act)));
    }

    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        (at - self.started) as f64 / SECOND as f64
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
