//! Transitions of the device: provision, issue of a code, claim, activate, release, update, transfer, decommission.

use time::{Duration, OffsetDateTime};

use crate::device::*;
use crate::shared::{Actor, AuditContext, Claimant, DeviceId, MerchantId, RequestContext};

impl Device {
    /// Provisions a device for a merchant. It starts inactive, without a code, at version 1.
    #[must_use]
    pub fn provision(
        id: DeviceId,
        merchant_id: MerchantId,
        details: DeviceDetails,
        by: AuditContext,
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
        device.transition(state, DeviceEventKind::Provisioned, by, now, None)
    }

    /// Issues a new code, valid for `ttl` from `now`, which supersedes the one before (contract, section 3).
    ///
    /// # Errors
    /// [`IssueRefusal::AlreadyClaimed`] for a claimed or activated device, [`IssueRefusal::Decommissioned`] for a
    /// decommissioned one.
    pub fn issue_pairing_code(
        self,
        code: PairingCode,
        ttl: Duration,
        context: RequestContext,
        now: OffsetDateTime,
    ) -> Result<Transition, IssueRefusal> {
        match &self.state {
            DeviceState::Inactive { .. } => {}
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => return Err(IssueRefusal::AlreadyClaimed),
            DeviceState::Decommissioned { .. } => return Err(IssueRefusal::Decommissioned),
        }
        let superseded = self.past_code(now);
        let issued = IssuedCode { code, issued_at: now, expires_at: now.saturating_add(ttl) };
        let next = DeviceState::Inactive { code: Some(issued) };
        Ok(self.transition(
            next,
            DeviceEventKind::PairingCodeIssued,
            context.with_actor(Actor::Terminal),
            now,
            superseded,
        ))
    }

    /// Claims the device for the claimant's merchant by the code on its screen.
    ///
    /// # Errors
    /// In this order (contract, section 3): [`ClaimRefusal::AlreadyUsed`], [`ClaimRefusal::Expired`] (also for a code
    /// that is no longer the device's), [`ClaimRefusal::NotOwner`].
    pub fn claim(
        self,
        code: PairingCode,
        by: &Claimant,
        context: RequestContext,
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
        Ok(self.transition(
            next,
            DeviceEventKind::Claimed,
            context.with_actor(Actor::User(by.user_id.clone())),
            now,
            None,
        ))
    }

    /// Activates a claimed device, so that it is ready for payments.
    ///
    /// # Errors
    /// [`ActivateRefusal::NotClaimed`] for an inactive device, [`ActivateRefusal::AlreadyActivated`] for an activated
    /// one, [`ActivateRefusal::Decommissioned`] for a decommissioned one.
    pub fn activate(self, context: RequestContext, now: OffsetDateTime) -> Result<Transition, ActivateRefusal> {
        let claim = match &self.state {
            DeviceState::Claimed(claim) => claim.clone(),
            DeviceState::Inactive { .. } => return Err(ActivateRefusal::NotClaimed),
            DeviceState::Activated { .. } => return Err(ActivateRefusal::AlreadyActivated),
            DeviceState::Decommissioned { .. } => return Err(ActivateRefusal::Decommissioned),
        };
        let next = DeviceState::Activated { claim, at: now };
        Ok(self.transition(next, DeviceEventKind::Activated, context.with_actor(Actor::Terminal), now, None))
    }

    /// Releases the device: it becomes inactive, without a code. The code of the claim becomes a past code (used).
    ///
    /// # Errors
    /// [`ReleaseRefusal::NotClaimed`] for an inactive device, [`ReleaseRefusal::Decommissioned`] for a decommissioned
    /// one.
    pub fn release(self, by: AuditContext, now: OffsetDateTime) -> Result<Transition, ReleaseRefusal> {
        match &self.state {
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => {}
            DeviceState::Inactive { .. } => return Err(ReleaseRefusal::NotClaimed),
            DeviceState::Decommissioned { .. } => return Err(ReleaseRefusal::Decommissioned),
        }
        let used = self.past_code(now);
        Ok(self.transition(DeviceState::Inactive { code: None }, DeviceEventKind::Released, by, now, used))
    }

    /// Replaces the device's details.
    ///
    /// # Errors
    /// [`UpdateRefusal::Decommissioned`].
    pub fn update(
        mut self,
        details: DeviceDetails,
        by: AuditContext,
        now: OffsetDateTime,
    ) -> Result<Transition, UpdateRefusal> {
        if self.status() == DeviceStatus::Decommissioned {
            return Err(UpdateRefusal::Decommissioned);
        }
        let state = self.state.clone();
        self.details = details;
        Ok(self.transition(state, DeviceEventKind::Updated, by, now, None))
    }

    /// Transfers an inactive device to another merchant. Its code is superseded, and its details are reset, because
    /// they belong to the former merchant.
    ///
    /// # Errors
    /// [`TransferRefusal`]: a claimed device must be released first.
    pub fn transfer_to(
        mut self,
        merchant_id: MerchantId,
        by: AuditContext,
        now: OffsetDateTime,
    ) -> Result<Transition, TransferRefusal> {
        match &self.state {
            DeviceState::Inactive { .. } if self.merchant_id == merchant_id => {
                return Err(TransferRefusal::SameMerchant);
            }
            DeviceState::Inactive { .. } => {}
            DeviceState::Claimed(_) | DeviceState::Activated { .. } => return Err(TransferRefusal::AlreadyClaimed),
            DeviceState::Decommissioned { .. } => return Err(TransferRefusal::Decommissioned),
        }
        let superseded = self.past_code(now);
        self.merchant_id = merchant_id;
        self.details = DeviceDetails::default();
        Ok(self.transition(DeviceState::Inactive { code: None }, DeviceEventKind::Transferred, by, now, superseded))
    }

    /// Decommissions the device permanently, in any state; its code becomes a past code.
    ///
    /// # Errors
    /// [`DecommissionRefusal::AlreadyDecommissioned`].
    pub fn decommission(self, by: AuditContext, now: OffsetDateTime) -> Result<Transition, DecommissionRefusal> {
        if self.status() == DeviceStatus::Decommissioned {
            return Err(DecommissionRefusal::AlreadyDecommissioned);
        }
        let ended = self.past_code(now);
        Ok(self.transition(DeviceState::Decommissioned { at: now }, DeviceEventKind::Decommissioned, by, now, ended))
    }

    /// Returns the current code as a past code, for a transition that invalidates it.
    fn past_code(&self, at: OffsetDateTime) -> Option<PastCode> {
        let (issued, end) = match &self.state {
            DeviceState::Inactive { code: None } | DeviceState::Decommissioned { .. } => return None,
            DeviceState::Inactive { code: Some(issued) } => (issued, CodeEnd::Superseded),
            DeviceState::Claimed(claim) | DeviceState::Activated { claim, .. } => (&claim.code, CodeEnd::Used),
        };
        Some(PastCode { code: issued.code, device_id: self.id.clone(), end, at })
    }

    fn transition(
        mut self,
        state: DeviceState,
        kind: DeviceEventKind,
        audit_context: AuditContext,
        at: OffsetDateTime,
        past_code: Option<PastCode>,
    ) -> Transition {
        let version = self.version.saturating_add(1);
        let mut event = DeviceEvent {
            device_id: self.id.clone(),
            sequence: version,
            merchant_id: self.merchant_id,
            at,
            audit_context,
            kind,
            hash: None,
        };
        let hash = event.chain_hash(self.chain.map(|chain| chain.hash));
        event.hash = Some(hash);
        let chain = Some(ChainTip { start: self.chain.map_or(version, |chain| chain.start), hash });
        self.state = state;
        self.version = version;
        self.chain = chain;
        Transition { device: self, event, past_code }
    }
}
