//! Pairing state machine, from the first code to the claim.
//!
//! ```text
//!            ┌────── expired, none, or expired locally ───────┐
//!            ▼                                                │
//!   request code ──▶ show it ──▶ wait 3–5 s ──▶ get status ───┤
//!            │                        ▲                       ├─▶ claimed
//!            │                        └──────── pending ──────┤
//!            └── already claimed (4220) ── get status at once ┘
//! ```

use std::mem;
use std::time::Duration;

use pos_domain::device::PairingCodeStatus;
use time::OffsetDateTime;

use crate::answer::{ShownCode, Status};
use crate::error::{CallError, PairError};
use crate::{Terminal, rhythm};

/// The API's code for a call that the device's state does not allow: here, the device is already claimed.
const NOT_ALLOWED_IN_STATE: &str = "4220";
/// Least time between two requests for a code, however short a lifetime the server reports.
const SHORTEST_SHOW: Duration = Duration::from_secs(1);

/// Pairing, one call to the server at a time.
///
/// ```no_run
/// use std::time::Duration;
/// use pos_terminal::{PairError, PairingStep, Status, Terminal};
///
/// async fn pair(terminal: &Terminal) -> Result<Status, PairError> {
///     let mut pairing = terminal.pairing().give_up_after(Duration::from_secs(1800));
///     loop {
///         match pairing.next().await? {
///             PairingStep::Code(code) => println!("code: {}", code.symbols()),
///             PairingStep::Waiting(_) => println!("waiting for the merchant"),
///             PairingStep::Retrying { error, retry_in } => println!("{error}; retry in {} s", retry_in.as_secs()),
///             PairingStep::Claimed(status) => return Ok(status),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Pairing {
    terminal: Terminal,
    /// When the code on the screen expires; `None` without a valid code.
    code_expires_at: Option<OffsetDateTime>,
    /// The server refused a code because the device is claimed; the next status call confirms it.
    refused_as_claimed: bool,
    /// Consecutive failures.
    failures: u32,
    planned: Wait,
    deadline: Option<OffsetDateTime>,
}

/// The result of one call to the server.
#[derive(Debug)]
pub enum PairingStep {
    /// A new code for the screen; it supersedes the earlier one.
    Code(ShownCode),
    /// The device is not claimed yet. If the code's status is `expired` or `none`, the next step requests a new code.
    Waiting(Status),
    /// The call failed and will be retried; the code on the screen may still be valid.
    Retrying {
        /// Why the call failed.
        error: CallError,
        /// Delay before the retry.
        retry_in: Duration,
    },
    /// A merchant has claimed the device: pairing is complete.
    Claimed(Status),
}

/// The delay before the next call: until an instant, but at most as long as planned, in case the clock is set back.
#[derive(Debug)]
struct Wait {
    until: OffsetDateTime,
    at_most: Duration,
}

impl Pairing {
    pub(crate) fn new(terminal: Terminal) -> Self {
        let planned = Wait { until: terminal.clock().now(), at_most: Duration::ZERO };
        Self { terminal, code_expires_at: None, refused_as_claimed: false, failures: 0, planned, deadline: None }
    }

    /// Fails with [`PairError::DeadlinePassed`] once `limit` from now has passed. A call in progress at that time still
    /// completes, within its own time limit.
    #[must_use]
    pub fn give_up_after(mut self, limit: Duration) -> Self {
        self.deadline = Some(later(self.terminal.clock().now(), limit));
        self
    }

    /// Runs steps until the device is claimed, and passes every code to `on_code`.
    ///
    /// # Errors
    /// As [`Pairing::next`].
    pub async fn run(mut self, mut on_code: impl FnMut(&ShownCode)) -> Result<Status, PairError> {
        loop {
            match self.next().await? {
                PairingStep::Code(code) => on_code(&code),
                PairingStep::Waiting(_) | PairingStep::Retrying { .. } => {}
                PairingStep::Claimed(status) => return Ok(status),
            }
        }
    }

    /// Waits until the next call is due, makes it, and returns its result.
    ///
    /// The future may be dropped at any time and `next` called again: it then waits for the rest of the delay, and
    /// repeats an interrupted call.
    ///
    /// # Errors
    /// [`PairError::Refused`] when the server rejects this terminal, [`PairError::DeadlinePassed`] after the limit of
    /// [`Pairing::give_up_after`].
    pub async fn next(&mut self) -> Result<PairingStep, PairError> {
        self.wait().await?;
        if self.needs_code() {
            match self.terminal.request_pairing_code().await {
                Ok(code) => return Ok(self.show(code)),
                Err(CallError::Api(error)) if error.http_status == 400 && error.code == NOT_ALLOWED_IN_STATE => {
                    self.refused_as_claimed = true;
                    self.code_expires_at = None;
                }
                Err(error) => return self.retry(error),
            }
        }
        match self.terminal.status().await {
            Ok(status) => Ok(self.on_status(status)),
            Err(error) => self.retry(error),
        }
    }

    fn needs_code(&self) -> bool {
        let expired = self.code_expires_at.is_none_or(|end| self.terminal.clock().now() >= end);
        expired && !self.refused_as_claimed
    }

    fn show(&mut self, code: ShownCode) -> PairingStep {
        self.failures = 0;
        self.code_expires_at = Some(code.expires_at());
        let poll = rhythm::poll(self.terminal.entropy());
        self.plan(poll.min(self.until_code_expires()));
        PairingStep::Code(code)
    }

    fn on_status(&mut self, status: Status) -> PairingStep {
        self.failures = 0;
        let was_refused = mem::take(&mut self.refused_as_claimed);
        if status.is_claimed {
            self.plan(rhythm::poll(self.terminal.entropy()));
            return PairingStep::Claimed(status);
        }
        let poll = rhythm::poll(self.terminal.entropy());
        match status.pairing_code_status {
            PairingCodeStatus::Expired | PairingCodeStatus::None => {
                self.code_expires_at = None;
                // A server that refuses a code and then reports none must not be called in a tight loop.
                self.plan(if was_refused { poll } else { Duration::ZERO });
            }
            PairingCodeStatus::Pending | PairingCodeStatus::Used => self.plan(poll.min(self.until_code_expires())),
        }
        PairingStep::Waiting(status)
    }

    fn retry(&mut self, error: CallError) -> Result<PairingStep, PairError> {
        let error = match error.into_refusal() {
            Ok(refusal) => return Err(PairError::Refused(refusal)),
            Err(transient) => transient,
        };
        self.failures = self.failures.saturating_add(1);
        let retry_in = rhythm::after_failure(self.terminal.entropy(), self.failures, error.retry_after());
        self.plan(retry_in);
        Ok(PairingStep::Retrying { error, retry_in })
    }

    fn until_code_expires(&self) -> Duration {
        let now = self.terminal.clock().now();
        let left = self.code_expires_at.map(|end| Duration::try_from(end - now).unwrap_or_default());
        left.unwrap_or(Duration::MAX).max(SHORTEST_SHOW)
    }

    fn plan(&mut self, wait: Duration) {
        self.planned = Wait { until: later(self.terminal.clock().now(), wait), at_most: wait };
    }

    async fn wait(&self) -> Result<(), PairError> {
        let now = self.terminal.clock().now();
        let left = Duration::try_from(self.planned.until - now).unwrap_or_default().min(self.planned.at_most);
        let allowed = self.deadline.map(|deadline| Duration::try_from(deadline - now).unwrap_or_default());
        let delay = left.min(allowed.unwrap_or(Duration::MAX));
        if !delay.is_zero() {
            self.terminal.sleeper().sleep(delay).await;
        }
        if allowed.is_some_and(|allowed| allowed <= left) { Err(PairError::DeadlinePassed) } else { Ok(()) }
    }
}

fn later(now: OffsetDateTime, by: Duration) -> OffsetDateTime {
    now.saturating_add(time::Duration::try_from(by).unwrap_or(time::Duration::MAX))
}
