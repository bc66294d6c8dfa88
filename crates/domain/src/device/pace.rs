//! How soon a terminal should ask again for its status.

use time::{Duration, OffsetDateTime};

use super::{Device, DeviceState};

/// A terminal should ask again after `earliest` at least, and not all terminals at once: anywhere within `spread` more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollWindow {
    /// The shortest wait; whole seconds.
    pub earliest: Duration,
    /// What may be added to it; whole seconds.
    pub spread: Duration,
}

impl PollWindow {
    /// The documented rhythm while a code is pending: every 3 to 5 seconds.
    pub const PENDING: Self = Self { earliest: Duration::seconds(3), spread: Duration::seconds(2) };

    /// The longest wait after a code has expired, spread included: a merchant who comes back finds a terminal that still
    /// answers.
    pub const LONGEST: Duration = Duration::MINUTE;

    /// After expiry there is less and less to wait for: a tenth of the time since is added, up to a minute.
    fn since_expiry(elapsed: Duration) -> Self {
        let grown = Self::PENDING.earliest + Duration::seconds(elapsed.whole_seconds() / 10);
        // With a quarter of it for the spread, this comes to the longest.
        let earliest = grown.min(Self::LONGEST * 4 / 5);
        Self { earliest, spread: Duration::seconds(earliest.whole_seconds() / 4).max(Self::PENDING.spread) }
    }
}

impl Device {
    /// How long it is until the code that stands on its screen expires; `None` when none does.
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

    /// How soon its terminal should ask for its status again; `None` when there is nothing to wait for, because it was
    /// claimed or has no code.
    #[must_use]
    pub fn next_poll(&self, now: OffsetDateTime) -> Option<PollWindow> {
        match self.state() {
            DeviceState::Inactive { code: Some(issued) } if issued.is_expired(now) => {
                Some(PollWindow::since_expiry(now - issued.expires_at))
            }
            DeviceState::Inactive { code: Some(_) } => Some(PollWindow::PENDING),
            DeviceState::Inactive { code: None }
            | DeviceState::Claimed(_)
            | DeviceState::Activated { .. }
            | DeviceState::Decommissioned { .. } => None,
        }
    }
}
