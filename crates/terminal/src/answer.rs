//! The three answers, as typed values.

use std::fmt;
use std::time::Duration;

use pos_domain::{AppVersion, DeviceStatus, PairingCode, PairingCodeStatus};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What bootstrap tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The server's time when it answered, in whole seconds.
    pub server_time: OffsetDateTime,
    /// The oldest app version the server still supports.
    pub min_supported_version: AppVersion,
    /// How far the server's clock is ahead of this machine's (negative: behind), to about a second plus half the
    /// call's duration. Add it to the local time to get the server's.
    pub clock_offset: time::Duration,
}

impl Bootstrap {
    /// Whether an app of this version may go on.
    #[must_use]
    pub fn supports(&self, version: &AppVersion) -> bool {
        *version >= self.min_supported_version
    }
}

/// A pairing code for the screen. It is a credential while it is active: `Debug` hides it, and it belongs in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownCode {
    code: PairingCode,
    expires_at: OffsetDateTime,
}

impl ShownCode {
    /// The six symbols.
    #[must_use]
    pub fn symbols(&self) -> &str {
        self.code.as_str()
    }

    /// When the code ends, by this machine's clock.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// How long the code is still good at `now`; zero once it has ended.
    #[must_use]
    pub fn remaining(&self, now: OffsetDateTime) -> Duration {
        Duration::try_from(self.expires_at - now).unwrap_or_default()
    }
}

impl fmt::Debug for ShownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShownCode").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// How the device and its latest code stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The device.
    pub device_status: DeviceStatus,
    /// True once a merchant has claimed the device.
    pub is_claimed: bool,
    /// The latest code.
    pub pairing_code_status: PairingCodeStatus,
}

/// An answer's body, as it is on the wire.
pub(crate) trait Body: for<'de> Deserialize<'de> {
    /// The typed answer; `asked_at` and `now` are the instants between which it came about.
    type Answer;
    /// Makes it, or says which field cannot be read, without its value.
    fn read(self, asked_at: OffsetDateTime, now: OffsetDateTime) -> Result<Self::Answer, &'static str>;
}

#[derive(Deserialize)]
pub(crate) struct BootstrapBody {
    server_time: String,
    min_supported_version: String,
}

impl Body for BootstrapBody {
    type Answer = Bootstrap;

    fn read(self, asked_at: OffsetDateTime, now: OffsetDateTime) -> Result<Bootstrap, &'static str> {
        let server_time =
            OffsetDateTime::parse(&self.server_time, &Rfc3339).map_err(|_| "server_time is not an RFC 3339 time")?;
        let min_supported_version =
            self.min_supported_version.parse().map_err(|_| "min_supported_version is not a version")?;
        let halfway = asked_at + (now - asked_at) / 2;
        Ok(Bootstrap { server_time, min_supported_version, clock_offset: server_time - halfway })
    }
}

#[derive(Deserialize)]
pub(crate) struct PairingCodeBody {
    pairing_code: String,
    expires_in_sec: u32,
}

impl Body for PairingCodeBody {
    type Answer = ShownCode;

    fn read(self, _asked_at: OffsetDateTime, now: OffsetDateTime) -> Result<ShownCode, &'static str> {
        let code = PairingCode::parse(&self.pairing_code).map_err(|_| "pairing_code is not a pairing code")?;
        let expires_at = now.saturating_add(time::Duration::seconds(self.expires_in_sec.into()));
        Ok(ShownCode { code, expires_at })
    }
}

#[derive(Deserialize)]
pub(crate) struct StatusBody {
    device_status: String,
    is_claimed: bool,
    pairing_code_status: String,
}

impl Body for StatusBody {
    type Answer = Status;

    fn read(self, _asked_at: OffsetDateTime, _now: OffsetDateTime) -> Result<Status, &'static str> {
        let device_status = DeviceStatus::parse(&self.device_status).ok_or("device_status is an unknown word")?;
        let codes =
            [PairingCodeStatus::None, PairingCodeStatus::Pending, PairingCodeStatus::Used, PairingCodeStatus::Expired];
        let pairing_code_status = codes
            .into_iter()
            .find(|status| status.as_str() == self.pairing_code_status)
            .ok_or("pairing_code_status is an unknown word")?;
        Ok(Status { device_status, is_claimed: self.is_claimed, pairing_code_status })
    }
}
