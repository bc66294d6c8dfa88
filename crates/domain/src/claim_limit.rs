//! How often a merchant, and a user, may be wrong about a code.

use time::{Duration, OffsetDateTime};

/// The bound on failed claims (contract, section 3): `max_failures` within `window`, for each merchant and each user.
///
/// A window starts with the first failure and has a fixed length; failures after it start another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimit {
    /// How many failures are answered as what they are; every claim after them is refused until the window passes.
    pub max_failures: u32,
    /// How long a window is.
    pub window: Duration,
}

/// The failures of one merchant or one user since the window started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureWindow {
    /// When the first of them happened.
    pub started_at: OffsetDateTime,
    /// How many there were.
    pub failures: u32,
}

/// How a claimant stands: the windows of the merchant and of the user, each absent when nothing failed yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimStanding {
    /// Counted over all of the merchant's users.
    pub merchant: Option<FailureWindow>,
    /// Counted for the user alone.
    pub user: Option<FailureWindow>,
}

/// How a failure that was just counted goes into the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalRecord {
    /// As what it was.
    AsItIs,
    /// As the first claim that the limit refused in this window.
    AsTooMany,
    /// Not at all: the window's refusal by the limit is on record already.
    None,
}

/// Too many failed claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many failed claims")]
pub struct TooManyFailures {
    /// How long until the last exceeded window has passed; positive.
    pub retry_after: Duration,
}

impl ClaimLimit {
    /// How far the clocks of two replicas may be apart. A window that starts later than this from now was begun by a
    /// clock that is fast, and is over: it would shut claims out until that clock's time had come.
    pub const MAX_CLOCK_SKEW: Duration = Duration::minutes(5);

    /// Whether a window that started at `started_at` counts at `now`.
    #[must_use]
    pub fn is_open(&self, started_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        started_at <= now.saturating_add(Self::MAX_CLOCK_SKEW) && now < self.window_end(started_at)
    }

    /// When a window that started at `started_at` has passed.
    #[must_use]
    pub fn window_end(&self, started_at: OffsetDateTime) -> OffsetDateTime {
        started_at.saturating_add(self.window)
    }

    /// The window after one more failure at `now`: the same one counted up, or a new one if it is not open.
    #[must_use]
    pub fn count(&self, window: Option<FailureWindow>, now: OffsetDateTime) -> FailureWindow {
        match window {
            Some(open) if self.is_open(open.started_at, now) => {
                FailureWindow { failures: open.failures.saturating_add(1), ..open }
            }
            Some(_) | None => FailureWindow { started_at: now, failures: 1 },
        }
    }

    /// Whether another claim may be made at `now`.
    ///
    /// # Errors
    /// [`TooManyFailures`] when the merchant or the user has used up the failures of an open window.
    pub fn admit(&self, standing: &ClaimStanding, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        self.check(standing, self.max_failures, now)
    }

    /// Whether a failure that `standing` already counts may be told as what it is.
    ///
    /// # Errors
    /// [`TooManyFailures`] when it was one too many.
    pub fn admit_counted(&self, standing: &ClaimStanding, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        self.check(standing, self.max_failures.saturating_add(1), now)
    }

    /// How a failure that `counted` already counts goes into the audit trail. So each window leaves at most
    /// `max_failures` refusals and one by the limit, however many claims there are.
    #[must_use]
    pub fn record_of(&self, counted: &ClaimStanding) -> RefusalRecord {
        let windows = || [counted.merchant, counted.user].into_iter().flatten();
        if windows().all(|window| window.failures <= self.max_failures) {
            RefusalRecord::AsItIs
        } else if windows().any(|window| window.failures == self.max_failures.saturating_add(1)) {
            RefusalRecord::AsTooMany
        } else {
            RefusalRecord::None
        }
    }

    /// Whether `window` is open and full at `now`, and nothing beyond its limit was counted yet: then a refusal by the
    /// limit is on no record.
    #[must_use]
    pub fn is_just_full(&self, window: &FailureWindow, now: OffsetDateTime) -> bool {
        window.failures == self.max_failures && self.is_open(window.started_at, now)
    }

    fn check(&self, standing: &ClaimStanding, full: u32, now: OffsetDateTime) -> Result<(), TooManyFailures> {
        let ends = [standing.merchant, standing.user]
            .into_iter()
            .flatten()
            .filter(|window| window.failures >= full && self.is_open(window.started_at, now))
            .map(|window| self.window_end(window.started_at))
            .max();
        ends.map_or(Ok(()), |end| Err(TooManyFailures { retry_after: end - now }))
    }
}
