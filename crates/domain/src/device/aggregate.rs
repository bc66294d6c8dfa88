//! The device aggregate: one terminal at one version, and the transition to the next.

use time::OffsetDateTime;

use crate::device::{
    ChainTip, DeviceDetails, DeviceEvent, DeviceState, DeviceStatus, PairingCodeStatus, PastCode, UserAgent,
};
use crate::shared::{DeviceId, MerchantId};

/// One terminal, from provisioning to decommissioning.
///
/// A value is the device at one version. A change consumes it and returns a [`Transition`] with the next version; a
/// store saves that only if it still holds the previous version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub(super) id: DeviceId,
    pub(super) merchant_id: MerchantId,
    pub(super) version: u64,
    pub(super) provisioned_at: OffsetDateTime,
    pub(super) state: DeviceState,
    pub(super) details: DeviceDetails,
    pub(super) last_seen: Option<TerminalInfo>,
    pub(super) chain: Option<ChainTip>,
}

/// Terminal info from `User-Agent`. Not part of the state machine: no rule reads it, and it does not change the
/// version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalInfo {
    /// Application version, operating system and model.
    pub agent: UserAgent,
    /// When it was reported.
    pub at: OffsetDateTime,
}

/// A legal transition: the device after it, its event, and the code that it invalidated.
///
/// Only the rules of [`Device`] create one, so a store that saves only transitions cannot contain an illegal state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub(super) device: Device,
    pub(super) event: DeviceEvent,
    pub(super) past_code: Option<PastCode>,
}

impl Transition {
    /// Returns the device after the transition.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the event of the transition.
    #[must_use]
    pub fn event(&self) -> &DeviceEvent {
        &self.event
    }

    /// Returns the code that the transition invalidated.
    #[must_use]
    pub fn past_code(&self) -> Option<&PastCode> {
        self.past_code.as_ref()
    }

    /// Returns the version that the store must hold for the transition to be saved; 0 for a new device.
    #[must_use]
    pub fn expected_version(&self) -> u64 {
        self.device.version.saturating_sub(1)
    }

    /// Returns the device after the transition, by value.
    #[must_use]
    pub fn into_device(self) -> Device {
        self.device
    }
}

impl Device {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> DeviceStatus {
        self.state.status()
    }

    /// Returns the status of the latest code at `now`. Expiry is computed here; no background job expires codes.
    #[must_use]
    pub fn pairing_code_status(&self, now: OffsetDateTime) -> PairingCodeStatus {
        self.state.pairing_code_status(now)
    }

    /// The terminal's id.
    #[must_use]
    pub fn id(&self) -> &DeviceId {
        &self.id
    }

    /// The merchant it belongs to.
    #[must_use]
    pub fn merchant_id(&self) -> MerchantId {
        self.merchant_id
    }

    /// Number of changes, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was provisioned.
    #[must_use]
    pub fn provisioned_at(&self) -> OffsetDateTime {
        self.provisioned_at
    }

    /// The state with its data.
    #[must_use]
    pub fn state(&self) -> &DeviceState {
        &self.state
    }

    /// Label and location.
    #[must_use]
    pub fn details(&self) -> &DeviceDetails {
        &self.details
    }

    /// Terminal info last reported.
    #[must_use]
    pub fn last_seen(&self) -> Option<&TerminalInfo> {
        self.last_seen.as_ref()
    }

    /// Tip of its hash chain; none until the first chained event.
    #[must_use]
    pub fn chain(&self) -> Option<ChainTip> {
        self.chain
    }
}
