//! Limit on failed attempts, per merchant and per user, in fixed windows.

use time::{Duration, OffsetDateTime};

/// Limit on failed claims (contract, section 3): `max_failures` within `window`, per merchant and per user.
///
/// A window starts with the first failure and has a fixed length; the next failure after it starts another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptLimit {
    /// Number of failures that return their own error; every claim after them is rejected until the window ends.
    pub max_failures: u32,
    /// Length of a window.
    pub window: Duration,
}

/// Failure count of one merchant or one user in its current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureWindow {
    /// When the first failure happened.
    pub started_at: OffsetDateTime,
    /// Number of failures.
    pub failures: u32,
}

/// Failure windows of a claimant's merchant and user; `None` if nothing has failed yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttemptCounts {
    /// Failures of all the merchant's users.
    pub merchant: Option<FailureWindow>,
    /// Failures of the user alone.
    pub user: Option<FailureWindow>,
}

/// How a counted failure is recorded in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditDecision {
    /// With its own reason.
    Record,
    /// As the first claim that the limit rejected in this window.
    RecordAsRateLimited,
    /// Not recorded: the audit trail already has this window's rejection by the limit.
    None,
}

/// Too many failed claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many failed claims")]
pub struct TooManyFailures {
    /// Time until the last exceeded window ends; positive.
    pub retry_after: Duration,
}

impl AttemptLimit {
    /// Maximum clock skew between two replicas. A window that starts further in the future was started by a fast clock
    /// and is ignored: it would block claims until that instant.
    pub const MAX_CLOCK_SKEW: Duration = Duration::minutes(5);

    /// Returns whether a window that started at `started_at` counts at `now`.
    #[must_use]
    pub fn is_open(&self, started_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        started_at <= now.saturating_add(Self::MAX_CLOCK_SKEW) && now < self.window_end(started_at)
    }

    /// Returns the end of a window that started at `started_at`.
    #[must_use]
    pub fn window_end(&self, started_at: OffsetDateTime) -> OffsetDateTime {
        started_at.saturating_add(self.window)
    }

    /// Returns the window after one more failure at `now`: the open one incremented, or a new one.
    #[must_use]
    pub fn count(&self, window: Option<FailureWindow>, now: OffsetDateTime) -> FailureWindow {
        match window {
            Some(open) if self.is_open(open.started_at, now) => {
                FailureWindow { failures: open.failures.saturating_add(1), ..open }
            }
            Some(_) | None => FailureWindow { started_at: now, failures: 1 },
        }
    }

    /// Checks whether another claim may be made at `now`.
    ///
    /// # Errors
    /// [`TooManyFailures`] if the merchant or the user has used up the failures of an open window.
    pub fn admit(&self, counts: &AttemptCounts, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        self.check(counts, self.max_failures, now)
    }

    /// Checks whether a failure that `counts` already includes may return its own error.
    ///
    /// # Errors
    /// [`TooManyFailures`] if it exceeded the limit.
    pub fn admit_counted(&self, counts: &AttemptCounts, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        self.check(counts, self.max_failures.saturating_add(1), now)
    }

    /// Returns how a failure that `counted` already includes is recorded in the audit trail. Each window records at
    /// most `max_failures` failures and one rejection by the limit, however many claims there are.
    #[must_use]
    pub fn audit_decision(&self, counted: &AttemptCounts) -> AuditDecision {
        let windows = || [counted.merchant, counted.user].into_iter().flatten();
        if windows().all(|window| window.failures <= self.max_failures) {
            AuditDecision::Record
        } else if windows().any(|window| window.failures == self.max_failures.saturating_add(1)) {
            AuditDecision::RecordAsRateLimited
        } else {
            AuditDecision::None
        }
    }

    /// Returns whether `window` is open and exactly full at `now`, so that no rejection by the limit was recorded yet.
    #[must_use]
    pub fn is_just_full(&self, window: &FailureWindow, now: OffsetDateTime) -> bool {
        window.failures == self.max_failures && self.is_open(window.started_at, now)
    }

    fn check(&self, counts: &AttemptCounts, full: u32, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        let ends = [counts.merchant, counts.user]
            .into_iter()
            .flatten()
            .filter(|window| window.failures >= full && self.is_open(window.started_at, now))
            .map(|window| self.window_end(window.started_at))
            .max();
        ends.map_or(Ok(()), |end| Err(TooManyFailures { retry_after: end - now }))
    }
}
