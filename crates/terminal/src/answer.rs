//! Typed responses of bootstrap, pairing code and status, and their wire formats.

use std::fmt;
use std::time::Duration;

use pos_domain::device::{AppVersion, DeviceStatus, PairingCode, PairingCodeStatus};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Response of bootstrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// The server's time at the response, in whole seconds.
    pub server_time: OffsetDateTime,
    /// The oldest app version the server still supports.
    pub min_supported_version: AppVersion,
    /// Offset of the server's clock from the local one (positive: ahead), accurate to about one second plus half the
    /// call's duration. Local time plus this offset is the server's time.
    pub clock_offset: time::Duration,
}

impl Bootstrap {
    /// Whether the server supports an app of this version.
    #[must_use]
    pub fn supports(&self, version: &AppVersion) -> bool {
        *version >= self.min_supported_version
    }
}

/// A pairing code for the screen. It is a credential while it is active: `Debug` hides it, and it must not be logged.
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

    /// When the code expires, by the local clock.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// Remaining lifetime of the code at `now`; zero once it has expired.
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

/// Status of the device and of its latest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Status of the device.
    pub device_status: DeviceStatus,
    /// True once a merchant has claimed the device.
    pub is_claimed: bool,
    /// Status of the latest code.
    pub pairing_code_status: PairingCodeStatus,
}

/// A response body in its wire format.
pub(crate) trait Body: for<'de> Deserialize<'de> {
    /// The typed response.
    type Answer;
    /// Converts the body; the error names the malformed field, without its value. The call was sent at `requested_at`
    /// and answered at `now`.
    fn parse(self, requested_at: OffsetDateTime, now: OffsetDateTime) -> Result<Self::Answer, &'static str>;
}

#[derive(Deserialize)]
pub(crate) struct BootstrapBody {
    server_time: String,
    min_supported_version: String,
}

impl Body for BootstrapBody {
    type Answer = Bootstrap;

    fn parse(self, requested_at: OffsetDateTime, now: OffsetDateTime) -> Result<Bootstrap, &'static str> {
        let server_time =
            OffsetDateTime::parse(&self.server_time, &Rfc3339).map_err(|_| "server_time is not an RFC 3339 time")?;
        let min_supported_version =
            self.min_supported_version.parse().map_err(|_| "min_supported_version is not a version")?;
        let halfway = requested_at + (now - requested_at) / 2;
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

    fn parse(self, _requested_at: OffsetDateTime, now: OffsetDateTime) -> Result<ShownCode, &'static str> {
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

    fn parse(self, _requested_at: OffsetDateTime, _now: OffsetDateTime) -> Result<Status, &'static str> {
        let device_status = DeviceStatus::parse(&self.device_status).ok_or("device_status has an unknown value")?;
        let codes =
            [PairingCodeStatus::None, PairingCodeStatus::Pending, PairingCodeStatus::Used, PairingCodeStatus::Expired];
        let pairing_code_status = codes
            .into_iter()
            .find(|status| status.as_str() == self.pairing_code_status)
            .ok_or("pairing_code_status has an unknown value")?;
        Ok(Status { device_status, is_claimed: self.is_claimed, pairing_code_status })
    }
}
