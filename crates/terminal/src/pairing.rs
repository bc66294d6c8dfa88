//! From the first code to the claim.
//!
//! ```text
//!            ┌──────── expired, none, or its time is over ────────┐
//!            ▼                                                    │
//!   ask for a code ──▶ show it ──▶ wait 3–5 s ──▶ ask for status ─┤
//!            │                         ▲                          ├─▶ claimed
//!            │                         └───────── pending ────────┤
//!            └── already claimed (4220) ── ask at once ───────────┘
//! ```

use std::mem;
use std::time::Duration;

use pos_domain::PairingCodeStatus;
use time::OffsetDateTime;

use crate::answer::{ShownCode, Status};
use crate::error::{CallError, PairError};
use crate::{Terminal, rhythm};

/// The API's code for "the state forbids it": here, that the device has been claimed.
const FORBIDDEN_BY_STATE: &str = "4220";
/// However short the server says a code lives, it is not asked for another sooner than this.
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
///             PairingStep::Trouble { error, retry_in } => println!("{error}; again in {} s", retry_in.as_secs()),
///             PairingStep::Claimed(status) => return Ok(status),
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Pairing {
    terminal: Terminal,
    /// When the code on the screen ends; `None` when there is none, or none that is worth anything.
    code_ends_at: Option<OffsetDateTime>,
    /// No code was given because the device is claimed: the status will tell.
    refused_as_claimed: bool,
    faults: u32,
    planned: Wait,
    deadline: Option<OffsetDateTime>,
}

/// What one call to the server came to.
#[derive(Debug)]
pub enum PairingStep {
    /// A new code for the screen; an earlier one is worth nothing any more.
    Code(ShownCode),
    /// Nobody has claimed the device yet. When the code's status is `expired` or `none`, a new code comes next.
    Waiting(Status),
    /// The server could not be asked, or could not answer; the code on the screen may still be good.
    Trouble {
        /// What went wrong.
        error: CallError,
        /// How long the next step will wait before it asks again.
        retry_in: Duration,
    },
    /// A merchant has claimed the device: pairing is over.
    Claimed(Status),
}

/// The wait before the next call: until an instant, but never longer than planned, should the clock be set back.
#[derive(Debug)]
struct Wait {
    until: OffsetDateTime,
    at_most: Duration,
}

impl Pairing {
    pub(crate) fn new(terminal: Terminal) -> Self {
        let planned = Wait { until: terminal.clock().now(), at_most: Duration::ZERO };
        Self { terminal, code_ends_at: None, refused_as_claimed: false, faults: 0, planned, deadline: None }
    }

    /// Gives up with [`PairError::DeadlinePassed`] once `limit` from now has passed. A call that is under way then is
    /// still finished, within its own time limit.
    #[must_use]
    pub fn give_up_after(mut self, limit: Duration) -> Self {
        self.deadline = Some(later(self.terminal.clock().now(), limit));
        self
    }

    /// Takes steps until the device is claimed, and hands every code to `on_code`.
    ///
    /// # Errors
    /// As [`Pairing::next`].
    pub async fn run(mut self, mut on_code: impl FnMut(&ShownCode)) -> Result<Status, PairError> {
        loop {
            match self.next().await? {
                PairingStep::Code(code) => on_code(&code),
                PairingStep::Waiting(_) | PairingStep::Trouble { .. } => {}
                PairingStep::Claimed(status) => return Ok(status),
            }
        }
    }

    /// Waits until the next call is due, makes it, and tells what came of it.
    ///
    /// The future may be dropped at any time and `next` called again: the rest of a wait is then waited, and a code
    /// that was on its way is asked for anew.
    ///
    /// # Errors
    /// [`PairError::Refused`] when the server refuses this terminal for good, [`PairError::DeadlinePassed`] when
    /// [`Pairing::give_up_after`] says so.
    pub async fn next(&mut self) -> Result<PairingStep, PairError> {
        self.wait().await?;
        if self.needs_code() {
            match self.terminal.request_pairing_code().await {
                Ok(code) => return Ok(self.show(code)),
                Err(CallError::Api(error)) if error.http_status == 400 && error.code == FORBIDDEN_BY_STATE => {
                    self.refused_as_claimed = true;
                    self.code_ends_at = None;
                }
                Err(error) => return self.trouble(error),
            }
        }
        match self.terminal.status().await {
            Ok(status) => Ok(self.told(status)),
            Err(error) => self.trouble(error),
        }
    }

    fn needs_code(&self) -> bool {
        let over = self.code_ends_at.is_none_or(|end| self.terminal.clock().now() >= end);
        over && !self.refused_as_claimed
    }

    fn show(&mut self, code: ShownCode) -> PairingStep {
        self.faults = 0;
        self.code_ends_at = Some(code.expires_at());
        let poll = rhythm::poll(self.terminal.entropy());
        self.plan(poll.min(self.until_code_ends()));
        PairingStep::Code(code)
    }

    fn told(&mut self, status: Status) -> PairingStep {
        self.faults = 0;
        let was_refused = mem::take(&mut self.refused_as_claimed);
        if status.is_claimed {
            self.plan(rhythm::poll(self.terminal.entropy()));
            return PairingStep::Claimed(status);
        }
        let poll = rhythm::poll(self.terminal.entropy());
        match status.pairing_code_status {
            PairingCodeStatus::Expired | PairingCodeStatus::None => {
                self.code_ends_at = None;
                // A server that refuses a code and then says there is none is not to be asked in a tight loop.
                self.plan(if was_refused { poll } else { Duration::ZERO });
            }
            PairingCodeStatus::Pending | PairingCodeStatus::Used => self.plan(poll.min(self.until_code_ends())),
        }
        PairingStep::Waiting(status)
    }

    fn trouble(&mut self, error: CallError) -> Result<PairingStep, PairError> {
        let error = match error.into_refusal() {
            Ok(refusal) => return Err(PairError::Refused(refusal)),
            Err(passing) => passing,
        };
        self.faults = self.faults.saturating_add(1);
        let retry_in = rhythm::after_fault(self.terminal.entropy(), self.faults, error.retry_after());
        self.plan(retry_in);
        Ok(PairingStep::Trouble { error, retry_in })
    }

    fn until_code_ends(&self) -> Duration {
        let now = self.terminal.clock().now();
        let left = self.code_ends_at.map(|end| Duration::try_from(end - now).unwrap_or_default());
        left.unwrap_or(Duration::MAX).max(SHORTEST_SHOW)
    }

    fn plan(&mut self, wait: Duration) {
        self.planned = Wait { until: later(self.terminal.clock().now(), wait), at_most: wait };
    }

    async fn wait(&self) -> Result<(), PairError> {
        let now = self.terminal.clock().now();
        let left = Duration::try_from(self.planned.until - now).unwrap_or_default().min(self.planned.at_most);
        let allowed = self.deadline.map(|deadline| Duration::try_from(deadline - now).unwrap_or_default());
        let nap = left.min(allowed.unwrap_or(Duration::MAX));
        if !nap.is_zero() {
            self.terminal.sleeper().sleep(nap).await;
        }
        if allowed.is_some_and(|allowed| allowed <= left) { Err(PairError::DeadlinePassed) } else { Ok(()) }
    }
}

fn later(now: OffsetDateTime, by: Duration) -> OffsetDateTime {
    now.saturating_add(time::Duration::try_from(by).unwrap_or(time::Duration::MAX))
}
