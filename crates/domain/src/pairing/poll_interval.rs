//! Poll interval that the server recommends to a terminal.

use time::{Duration, OffsetDateTime};

use crate::device::{Device, DeviceState};

/// Recommended wait before the next status poll: `earliest` plus a random part of `spread`, so that terminals do not
/// poll in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollInterval {
    /// Shortest wait; whole seconds.
    pub earliest: Duration,
    /// Maximum random addition; whole seconds.
    pub spread: Duration,
}

impl PollInterval {
    /// Documented interval while a code is pending: 3 to 5 seconds.
    pub const PENDING: Self = Self { earliest: Duration::seconds(3), spread: Duration::seconds(2) };

    /// Longest wait after a code has expired, including the spread. It is short enough that a merchant who returns
    /// later finds a terminal that still responds.
    pub const LONGEST: Duration = Duration::MINUTE;

    /// Interval after expiry: it grows by a tenth of the time since then, up to a minute.
    fn since_expiry(elapsed: Duration) -> Self {
        let grown = Self::PENDING.earliest + Duration::seconds(elapsed.whole_seconds() / 10);
        // Plus a quarter of it as the spread, this is `LONGEST`.
        let earliest = grown.min(Self::LONGEST * 4 / 5);
        Self { earliest, spread: Duration::seconds(earliest.whole_seconds() / 4).max(Self::PENDING.spread) }
    }
}

impl Device {
    /// Returns the time until the current code expires; `None` if there is no valid code.
    #[must_use]
    pub fn code_expires_in(&self, now: OffsetDateTime) -> Option<Duration> {
        match self.state() {
            DeviceState::Inactive { code: Some(issued) } if !issued.is_expired(now) => Some(issued.expires_at - now),
            DeviceState::Inactive { .. }
            | DeviceState::Claimed(_)
            | DeviceState::Activated { .. }
            | DeviceState::Decommissioned { .. } => None,
        }
    }

    /// Returns when its terminal should poll its status again; `None` if no change is expected, because the device is
    /// claimed or has no code.
    #[must_use]
    pub fn next_poll(&self, now: OffsetDateTime) -> Option<PollInterval> {
        match self.state() {
            DeviceState::Inactive { code: Some(issued) } if issued.is_expired(now) => {
                Some(PollInterval::since_expiry(now - issued.expires_at))
            }
            DeviceState::Inactive { code: Some(_) } => Some(PollInterval::PENDING),
            DeviceState::Inactive { code: None }
            | DeviceState::Claimed(_)
            | DeviceState::Activated { .. }
            | DeviceState::Decommissioned { .. } => None,
        }
    }
}
