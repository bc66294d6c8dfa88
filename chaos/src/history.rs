//! History of a scenario: call counts, injected faults, violations, and which failures a fault excuses.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pos_terminal::{ApiError, CallError};
use serde::Serialize;

use crate::model::{Contradiction, Instant, SECOND};
use crate::time::{load_factor, load_per_core, now};

/// Grace period: failures are still excused for so long after the end of a fault.
pub(crate) const GRACE: Instant = 8 * SECOND;

/// Each server must recover within this time after the end of a fault.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

/// [`GRACE`], extended by the load factor.
pub(crate) fn grace() -> Duration {
    Duration::from_micros(GRACE.unsigned_abs()).mul_f64(load_factor())
}

/// With more waiting processes for each core than this, a server may be overloaded without a fault.
const OVERLOADED: f64 = 3.0;

/// Violations beyond this number are counted, but not stored.
const MAX_VIOLATIONS: usize = 100;

/// A violation of the model or of a limit.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Violation {
    /// Seconds since the start.
    pub(crate) at: f64,
    pub(crate) scenario: &'static str,
    pub(crate) what: String,
    /// The last calls and responses before it, without codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) recent_calls: Vec<String>,
}

/// An injected fault and its effect.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InjectedFault {
    pub(crate) scenario: &'static str,
    pub(crate) fault: &'static str,
    /// Seconds since the start.
    pub(crate) at: f64,
    pub(crate) lasted: f64,
    /// Seconds from its end until every server has recovered.
    pub(crate) recovered: f64,
    /// Calls that were answered 503 or not at all, from its begin to the recovery.
    pub(crate) failed_calls: u64,
    pub(crate) result: String,
}

#[derive(Debug, Default)]
struct Records {
    calls: BTreeMap<String, BTreeMap<String, u64>>,
    faults: Vec<InjectedFault>,
    violations: Vec<Violation>,
    dropped_violations: u64,
    highest_load: f64,
    /// Number of 503s without a fault that are attributed to the machine's load.
    attributed_to_load: u64,
    /// Periods in which failures of a scope are excused: from a fault's begin (the position is its handle) to its end.
    excuses: Vec<(FailureScope, Option<Instant>)>,
    /// While set: the latency limit for changes of all devices except this one.
    change_limit: Option<(String, Duration)>,
    notes: Vec<String>,
}

/// The history of one scenario.
#[derive(Debug)]
pub(crate) struct ScenarioHistory {
    pub(crate) scenario: &'static str,
    started: Instant,
    /// Returns the load for each core.
    load: fn() -> f64,
    records: Mutex<Records>,
}

/// The records of all scenarios, for the report.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) calls: BTreeMap<String, BTreeMap<String, u64>>,
    pub(crate) faults: Vec<InjectedFault>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) dropped_violations: u64,
    /// The highest load average for each core.
    pub(crate) highest_load: f64,
    pub(crate) notes: Vec<String>,
}

/// The calls whose failures a fault excuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FailureScope {
    /// All calls.
    All,
    /// Calls to one server.
    Server(String),
    /// Calls about one device.
    Device(String),
}

impl FailureScope {
    fn includes(&self, call: &CallInfo<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Server(name) => call.server == name,
            Self::Device(id) => call.device == Some(id),
        }
    }
}

/// A call, with what decides whether it may fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallInfo<'a> {
    pub(crate) call: &'a str,
    pub(crate) about: &'a str,
    /// The server that it was sent to.
    pub(crate) server: &'a str,
    /// The device that it was about, if known.
    pub(crate) device: Option<&'a str>,
    pub(crate) sent: Instant,
    /// Whether the server was down at any time since.
    pub(crate) server_was_down: bool,
}

impl ScenarioHistory {
    /// Creates an empty history. `started` is the start of the whole run.
    pub(crate) fn new(scenario: &'static str, started: Instant) -> Self {
        Self { scenario, started, load: load_per_core, records: Mutex::default() }
    }

    /// Counts a response.
    pub(crate) fn count(&self, call: &str, response: &str) {
        let mut records = self.records();
        *records.calls.entry(call.to_owned()).or_default().entry(response.to_owned()).or_default() += 1;
    }

    /// Adds a neutral remark to the report.
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.records().notes.push(note.into());
    }

    pub(crate) fn violation(&self, what: impl Into<String>, recent_calls: Vec<String>) {
        let (at, what) = (self.seconds(now()), what.into());
        let mut records = self.records();
        if records.violations.len() < MAX_VIOLATIONS {
            eprintln!("VIOLATION at {at:.1} s, {}: {what}", self.scenario);
            let scenario = self.scenario;
            records.violations.push(Violation { at, scenario, what, recent_calls });
        } else {
            records.dropped_violations += 1;
        }
    }

    pub(crate) fn contradiction(&self, about: &str, contradiction: Contradiction) {
        self.violation(format!("{about}: {}", contradiction.answer), contradiction.recent_calls);
    }

    /// Starts to excuse failures in a scope. Returns the handle for [`Self::end_excuse`].
    pub(crate) fn begin_excuse(&self, scope: FailureScope) -> usize {
        let mut records = self.records();
        records.excuses.push((scope, None));
        records.excuses.len() - 1
    }

    /// Whether any fault so far excused all calls.
    pub(crate) fn has_excused_all(&self) -> bool {
        self.records().excuses.iter().any(|(scope, _)| *scope == FailureScope::All)
    }

    /// How many calls had this response.
    pub(crate) fn counted(&self, response: &str) -> u64 {
        self.records().calls.values().filter_map(|responses| responses.get(response)).sum()
    }

    /// Sets or removes the latency limit for changes of all devices except the given one.
    pub(crate) fn limit_changes(&self, limit: Option<(String, Duration)>) {
        self.records().change_limit = limit;
    }

    /// Checks the latency of an answered change of a device.
    pub(crate) fn check_change(&self, device: &str, sent: Instant) {
        let Some((locked, limit)) = self.records().change_limit.clone() else { return };
        let took = Duration::from_micros(u64::try_from(now() - sent).unwrap_or_default());
        if locked != device && took > limit.mul_f64(load_factor()) && (self.load)() <= OVERLOADED {
            let what = format!("a change of {device} took {took:.1?} while only the row of {locked} was locked");
            self.violation(what, Vec::new());
        }
    }

    pub(crate) fn end_excuse(&self, handle: usize) {
        if let Some(period) = self.records().excuses.get_mut(handle) {
            period.1 = Some(now());
        }
    }

    pub(crate) fn record_fault(&self, fault: InjectedFault) {
        self.records().faults.push(fault);
    }

    /// Counts a failed call, and records a violation if the failure is not excused. Returns 4xx responses, which the
    /// caller checks.
    pub(crate) fn failed(&self, info: CallInfo<'_>, error: CallError) -> Option<Box<ApiError>> {
        let CallInfo { call, about, sent, server_was_down, .. } = info;
        let violation = |what: String| {
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
                    violation(format!("not a valid 503: {error}, Retry-After {:?}", error.retry_after));
                } else if !self.is_excused(&info) && (self.load)() > OVERLOADED {
                    self.count(call, "503 on an overloaded machine");
                    self.records().attributed_to_load += 1;
                } else if !self.is_excused(&info) {
                    violation(format!("503 without a fault: {error}"));
                }
            }
            CallError::TimedOut { trace_id } => {
                self.count(call, "no response in time");
                if !server_was_down {
                    violation(format!("no response in time from a running server (trace {trace_id})"));
                }
            }
            error @ CallError::Unreachable { .. } => {
                self.count(call, "no connection");
                // After a pause a server closes new connections whose time limit has passed.
                if !server_was_down && !self.was_paused(&info) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    violation(format!("no connection to a running server: {error}: {cause}"));
                }
            }
            error @ CallError::Unexpected { .. } => {
                self.count(call, "no envelope");
                violation(error.to_string());
            }
        }
        None
    }

    /// Whether the server of the call was paused at any time since it was sent.
    fn was_paused(&self, call: &CallInfo<'_>) -> bool {
        let is_paused = |scope: &FailureScope| matches!(scope, FailureScope::Server(name) if call.server == name);
        self.records().excuses.iter().any(|(scope, end)| is_paused(scope) && end.is_none_or(|end| end >= call.sent))
    }

    /// Whether a fault, or the grace period after it, excuses the call at any time since it was sent.
    fn is_excused(&self, call: &CallInfo<'_>) -> bool {
        let grace = i64::try_from(grace().as_micros()).unwrap_or(Instant::MAX / 2);
        let is_current = |end: &Option<Instant>| end.is_none_or(|end| end + grace >= call.sent);
        self.records().excuses.iter().any(|(scope, end)| is_current(end) && scope.includes(call))
    }

    /// Records the current load for each core.
    pub(crate) fn record_load(&self, load: f64) {
        let mut records = self.records();
        records.highest_load = records.highest_load.max(load);
    }

    /// Numbers of calls, failed calls, faults and violations.
    pub(crate) fn totals(&self) -> (u64, u64, usize, u64) {
        let records = self.records();
        let (mut all, mut failed) = (0, 0);
        for (response, count) in records.calls.values().flatten() {
            all += count;
            if response.starts_with('5') || response.starts_with("no ") {
                failed += count;
            }
        }
        (all, failed, records.faults.len(), records.violations.len() as u64 + records.dropped_violations)
    }

    /// Notes how many 503s are attributed to the machine's load. More than one in a hundred calls is a violation.
    pub(crate) fn check_load_excuses(&self) {
        let (all, ..) = self.totals();
        let excused = self.records().attributed_to_load;
        if excused > 0 {
            self.note(format!(
                "LEFT OUT: {excused} calls that were answered 503 without a fault, attributed to the machine's load"
            ));
        }
        if excused * 100 > all {
            self.violation(format!("{excused} of {all} calls were answered 503 without a fault"), Vec::new());
        }
    }

    /// Adds the records to a summary.
    pub(crate) fn add_to(&self, summary: &mut Summary) {
        let records = self.records();
        for (call, responses) in &records.calls {
            for (response, count) in responses {
                *summary.calls.entry(call.clone()).or_default().entry(response.clone()).or_default() += count;
            }
        }
        summary.faults.extend(records.faults.iter().cloned());
        summary.violations.extend(records.violations.iter().cloned());
        summary.dropped_violations += records.dropped_violations;
        summary.highest_load = summary.highest_load.max(records.highest_load);
        summary.notes.extend(records.notes.iter().map(|note| format!("{}: {note}", self.scenario)));
    }

    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        (at - self.started) as f64 / SECOND as f64
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
