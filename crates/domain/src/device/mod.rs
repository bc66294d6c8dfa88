//! The device aggregate: a terminal and its current pairing code, which live and change together.
//!
//! ```text
//!                      issue_pairing_code (retires the code before)
//!                           ┌────┐
//!   provision ──▶ inactive ─┴────┴─ claim ──▶ claimed ── activate ──▶ activated
//!                    ▲                           │                        │
//!                    └───────── release ─────────┴────────────────────────┘
//!
//!   inactive ── move_to ──▶ inactive, at another merchant, without a code
//!   every state ── amend ──▶ the same state
//!   every state ── decommission ──▶ decommissioned, for good
//! ```

mod details;
mod pace;
mod record;
mod refusal;
mod state;

use time::{Duration, OffsetDateTime};

use crate::{
    Act, Actor, CallContext, ChainHead, CodeEnd, DeviceEvent, DeviceEventKind, DeviceId, EndedCode, MerchantId,
    PairingCode, UserAgent, UserId,
};

pub use details::DeviceDetails;
pub use pace::PollWindow;
pub use record::{CorruptDevice, DeviceRecord};
pub use refusal::{
    ActivateRefusal, AmendRefusal, ClaimRefusal, DecommissionRefusal, IssueRefusal, MoveRefusal, ReleaseRefusal,
};
pub use state::{Claim, DeviceState, DeviceStatus, IssuedCode, PairingCodeStatus};

/// One terminal, from provisioning to activation.
///
/// A value is the device as it was at one version. A change consumes it and answers a [`Transition`] with the next
/// version; a store keeps that only if the version before is still the one it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    id: DeviceId,
    merchant_id: MerchantId,
    version: u64,
    provisioned_at: OffsetDateTime,
    state: DeviceState,
    details: DeviceDetails,
    last_seen: Option<Sighting>,
    chain: Option<ChainHead>,
}

/// What a terminal last said of itself. Not part of the state machine: no rule reads it, no version counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The application, operating system and model.
    pub agent: UserAgent,
    /// When it said so.
    pub at: OffsetDateTime,
}

/// Who asks for a device: a user, in the name of a merchant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The merchant the user acts for.
    pub merchant_id: MerchantId,
    /// The user.
    pub user_id: UserId,
}

/// One legal step: the device after it, the event that tells of it, and the code it put out of use.
///
/// Only the rules of [`Device`] make one, so a store that keeps nothing but transitions cannot keep an illegal state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    device: Device,
    event: DeviceEvent,
    ended_code: Option<EndedCode>,
}

impl Transition {
    /// The device after the step.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What happened.
    #[must_use]
    pub fn event(&self) -> &DeviceEvent {
        &self.event
    }

    /// The code that left the device by this step.
    #[must_use]
    pub fn ended_code(&self) -> Option<&EndedCode> {
        self.ended_code.as_ref()
    }

    /// The version the store must still hold for this step to be kept; 0 for a device that is new.
    #[must_use]
    pub fn expected_version(&self) -> u64 {
        self.device.version.saturating_sub(1)
    }

    /// The device after the step, by value.
    #[must_use]
    pub fn into_device(self) -> Device {
        self.device
    }
}

impl Device {
    /// Makes a terminal known, for a merchant. It starts inactive, without a code, at version 1.
    #[must_use]
    pub fn provision(
        id: DeviceId,
        merchant_id: MerchantId,
        details: DeviceDetails,
        by: Act,
        now: OffsetDateTime,
    ) -> Transition {
        let state = DeviceState::Inactive { code: None };
        let device = Self {
            id,
            merchant_id,
            version: 0,
            provisioned_at: now,
            state: state.clone(),
            details,
            last_seen: None,
            chain: None,
        };
        device.step(state, DeviceEventKind::Provisioned, by, now, None)
    }

    /// Gives the terminal a new code, valid for `ttl` from `now`, and retires the one before (contract, section 3).
    ///
    /// # Errors
    /// [`IssueRefusal::AlreadyClaimed`] for a device that is claimed or activated, [`IssueRefusal::Decommissioned`] for
    /// one that is out of use.
    pub fn issue_pairing_code(
        self,
        code: PairingCode,
        ttl: Duration,
        context: CallContext,
        now: OffsetDateTime,
    ) -> Result<Transition, IssueRefusal> {
        match &self.state {
            DeviceState::Inactive { .. } => {}
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => return Err(IssueRefusal::AlreadyClaimed),
            DeviceState::Decommissioned { .. } => return Err(IssueRefusal::Decommissioned),
        }
        let retired = self.ended_code(now);
        let issued = IssuedCode { code, issued_at: now, expires_at: now.saturating_add(ttl) };
        let next = DeviceState::Inactive { code: Some(issued) };
        Ok(self.step(next, DeviceEventKind::PairingCodeIssued, context.by(Actor::Terminal), now, retired))
    }

    /// Links the terminal to the claimant's merchant, by the code that stands on its screen.
    ///
    /// # Errors
    /// In this order (contract, section 3): [`ClaimRefusal::AlreadyUsed`], [`ClaimRefusal::Expired`] (also for a code
    /// that is no longer this device's), [`ClaimRefusal::NotOwner`].
    pub fn claim(
        self,
        code: PairingCode,
        by: &Claimant,
        context: CallContext,
        now: OffsetDateTime,
    ) -> Result<Transition, ClaimRefusal> {
        let issued = match &self.state {
            DeviceState::Inactive { code: Some(issued) } if issued.code == code => issued.clone(),
            DeviceState::Inactive { .. } | DeviceState::Decommissioned { .. } => return Err(ClaimRefusal::Expired),
            DeviceState::Claimed(claim) | DeviceState::Activated { claim, .. } => {
                let used = claim.code.code == code;
                return Err(if used { ClaimRefusal::AlreadyUsed } else { ClaimRefusal::Expired });
            }
        };
        if issued.is_expired(now) {
            return Err(ClaimRefusal::Expired);
        }
        if self.merchant_id != by.merchant_id {
            return Err(ClaimRefusal::NotOwner);
        }
        let next = DeviceState::Claimed(Claim { code: issued, by: by.user_id.clone(), at: now });
        Ok(self.step(next, DeviceEventKind::Claimed, context.by(Actor::User(by.user_id.clone())), now, None))
    }

    /// Makes a claimed terminal ready for payments.
    ///
    /// # Errors
    /// [`ActivateRefusal::NotClaimed`] while it is inactive, [`ActivateRefusal::AlreadyActivated`] the second time,
    /// [`ActivateRefusal::Decommissioned`] when it is out of use.
    pub fn activate(self, context: CallContext, now: OffsetDateTime) -> Result<Transition, ActivateRefusal> {
        let claim = match &self.state {
            DeviceState::Claimed(claim) => claim.clone(),
            DeviceState::Inactive { .. } => return Err(ActivateRefusal::NotClaimed),
            DeviceState::Activated { .. } => return Err(ActivateRefusal::AlreadyActivated),
            DeviceState::Decommissioned { .. } => return Err(ActivateRefusal::Decommissioned),
        };
        let next = DeviceState::Activated { claim, at: now };
        Ok(self.step(next, DeviceEventKind::Activated, context.by(Actor::Terminal), now, None))
    }

    /// Takes the terminal back to inactive, without a code; the one it was claimed with stays known as used.
    ///
    /// # Errors
    /// [`ReleaseRefusal::NotClaimed`] for a device that is inactive already, [`ReleaseRefusal::Decommissioned`] for one
    /// that is out of use.
    pub fn release(self, by: Act, now: OffsetDateTime) -> Result<Transition, ReleaseRefusal> {
        match &self.state {
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => {}
            DeviceState::Inactive { .. } => return Err(ReleaseRefusal::NotClaimed),
            DeviceState::Decommissioned { .. } => return Err(ReleaseRefusal::Decommissioned),
        }
        let used = self.ended_code(now);
        Ok(self.step(DeviceState::Inactive { code: None }, DeviceEventKind::Released, by, now, used))
    }

    /// Changes what is kept of the terminal beside its state.
    ///
    /// # Errors
    /// [`AmendRefusal::Decommissioned`].
    pub fn amend(mut self, details: DeviceDetails, by: Act, now: OffsetDateTime) -> Result<Transition, AmendRefusal> {
        if self.status() == DeviceStatus::Decommissioned {
            return Err(AmendRefusal::Decommissioned);
        }
        let state = self.state.clone();
        self.details = details;
        Ok(self.step(state, DeviceEventKind::Amended, by, now, None))
    }

    /// Gives an inactive terminal to another merchant. Its code is retired, and what its former merchant kept of it
    /// stays behind.
    ///
    /// # Errors
    /// [`MoveRefusal`]: a device that is claimed must be released first.
    pub fn move_to(mut self, merchant_id: MerchantId, by: Act, now: OffsetDateTime) -> Result<Transition, MoveRefusal> {
        match &self.state {
            DeviceState::Inactive { .. } if self.merchant_id == merchant_id => return Err(MoveRefusal::SameMerchant),
            DeviceState::Inactive { .. } => {}
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => return Err(MoveRefusal::AlreadyClaimed),
            DeviceState::Decommissioned { .. } => return Err(MoveRefusal::Decommissioned),
        }
        let retired = self.ended_code(now);
        self.merchant_id = merchant_id;
        self.details = DeviceDetails::default();
        Ok(self.step(DeviceState::Inactive { code: None }, DeviceEventKind::Moved, by, now, retired))
    }

    /// Takes the terminal out of use for good, whatever it was doing; its code ends with it.
    ///
    /// # Errors
    /// [`DecommissionRefusal::AlreadyDecommissioned`].
    pub fn decommission(self, by: Act, now: OffsetDateTime) -> Result<Transition, DecommissionRefusal> {
        if self.status() == DeviceStatus::Decommissioned {
            return Err(DecommissionRefusal::AlreadyDecommissioned);
        }
        let ended = self.ended_code(now);
        Ok(self.step(DeviceState::Decommissioned { at: now }, DeviceEventKind::Decommissioned, by, now, ended))
    }

    /// Inactive, claimed or activated.
    #[must_use]
    pub fn status(&self) -> DeviceStatus {
        self.state.status()
    }

    /// How the latest code stands at `now`. Expiry is this question, never the work of a sweeper.
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

    /// How many changes it has seen, from 1.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was provisioned.
    #[must_use]
    pub fn provisioned_at(&self) -> OffsetDateTime {
        self.provisioned_at
    }

    /// The state with its facts.
    #[must_use]
    pub fn state(&self) -> &DeviceState {
        &self.state
    }

    /// What people keep of it.
    #[must_use]
    pub fn details(&self) -> &DeviceDetails {
        &self.details
    }

    /// What the terminal last said of itself.
    #[must_use]
    pub fn last_seen(&self) -> Option<&Sighting> {
        self.last_seen.as_ref()
    }

    /// The end of its chain of events; none until the first event that is part of one.
    #[must_use]
    pub fn chain(&self) -> Option<ChainHead> {
        self.chain
    }

    /// How the current code ends when the device leaves its state.
    fn ended_code(&self, at: OffsetDateTime) -> Option<EndedCode> {
        let (issued, end) = match &self.state {
            DeviceState::Inactive { code: None } | DeviceState::Decommissioned { .. } => return None,
            DeviceState::Inactive { code: Some(issued) } => (issued, CodeEnd::Retired),
            DeviceState::Claimed(claim) | DeviceState::Activated { claim, .. } => (&claim.code, CodeEnd::Used),
        };
        Some(EndedCode { code: issued.code, device_id: self.id.clone(), end, at })
    }

    fn step(
        mut self,
        state: DeviceState,
        kind: DeviceEventKind,
        act: Act,
        at: OffsetDateTime,
        ended_code: Option<EndedCode>,
    ) -> Transition {
        let version = self.version.saturating_add(1);
        let mut event = DeviceEvent {
            device_id: self.id.clone(),
            sequence: version,
            merchant_id: self.merchant_id,
            at,
            act,
            kind,
            hash: None,
        };
        let hash = event.link(self.chain.map(|chain| chain.hash));
        event.hash = Some(hash);
        let chain = Some(ChainHead { start: self.chain.map_or(version, |chain| chain.start), hash });
        self.state = state;
        self.version = version;
        self.chain = chain;
        Transition { device: self, event, ended_code }
    }
}
