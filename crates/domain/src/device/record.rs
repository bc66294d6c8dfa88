//! A device laid flat, the way a table keeps it, and the way back.

use time::OffsetDateTime;

use super::{Claim, Device, DeviceDetails, DeviceState, DeviceStatus, IssuedCode, Sighting};
use crate::{ChainHead, DeviceId, MerchantId, PairingCode, UserId};

/// The facts of a device, side by side. For storage adapters: [`Device::record`] lays one out, [`Device::restore`]
/// takes one back if, and only if, its facts fit its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The terminal.
    pub id: DeviceId,
    /// Its merchant.
    pub merchant_id: MerchantId,
    /// Its version, at least 1.
    pub version: u64,
    /// When it was provisioned.
    pub provisioned_at: OffsetDateTime,
    /// Which state the facts below must fit.
    pub status: DeviceStatus,
    /// The current code; there whenever the two instants after it are.
    pub pairing_code: Option<PairingCode>,
    /// When the code was given out.
    pub code_issued_at: Option<OffsetDateTime>,
    /// When it ends.
    pub code_expires_at: Option<OffsetDateTime>,
    /// Who claimed the device; there once it is claimed.
    pub claimed_by: Option<UserId>,
    /// When it was claimed; likewise.
    pub claimed_at: Option<OffsetDateTime>,
    /// When it was activated; there only then.
    pub activated_at: Option<OffsetDateTime>,
    /// When it was taken out of use; there only then.
    pub decommissioned_at: Option<OffsetDateTime>,
    /// What people keep of it.
    pub details: DeviceDetails,
    /// What the terminal last said of itself.
    pub last_seen: Option<Sighting>,
    /// The end of its chain of events.
    pub chain: Option<ChainHead>,
}

/// A record whose facts do not fit its status: somebody changed the store by hand, or an adapter is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device {device_id}: {fault}")]
pub struct CorruptDevice {
    /// Which device.
    pub device_id: DeviceId,
    /// What does not fit.
    pub fault: &'static str,
}

impl Device {
    /// The device laid flat.
    #[must_use]
    pub fn record(&self) -> DeviceRecord {
        let (code, claim, activated_at) = match &self.state {
            DeviceState::Inactive { code } => (code.as_ref(), None, None),
            DeviceState::Decommissioned { .. } => (None, None, None),
            DeviceState::Claimed(claim) => (Some(&claim.code), Some(claim), None),
            DeviceState::Activated { claim, at } => (Some(&claim.code), Some(claim), Some(*at)),
        };
        DeviceRecord {
            id: self.id.clone(),
            merchant_id: self.merchant_id,
            version: self.version,
            provisioned_at: self.provisioned_at,
            status: self.status(),
            pairing_code: code.map(|issued| issued.code),
            code_issued_at: code.map(|issued| issued.issued_at),
            code_expires_at: code.map(|issued| issued.expires_at),
            claimed_by: claim.map(|claim| claim.by.clone()),
            claimed_at: claim.map(|claim| claim.at),
            activated_at,
            decommissioned_at: match &self.state {
                DeviceState::Decommissioned { at } => Some(*at),
                DeviceState::Inactive { .. } | DeviceState::Claimed(_) | DeviceState::Activated { .. } => None,
            },
            details: self.details.clone(),
            last_seen: self.last_seen.clone(),
            chain: self.chain,
        }
    }

    /// The device that a record lays out.
    ///
    /// # Errors
    /// [`CorruptDevice`] when the facts do not fit the status.
    pub fn restore(record: DeviceRecord) -> Result<Self, CorruptDevice> {
        let DeviceRecord { id, merchant_id, version, provisioned_at, status, details, last_seen, chain, .. } = record;
        let corrupt = |fault| CorruptDevice { device_id: id.clone(), fault };
        if version == 0 {
            return Err(corrupt("version must be at least 1"));
        }
        if chain.is_some_and(|chain| !(1..=version).contains(&chain.start)) {
            return Err(corrupt("its chain must start with one of its events"));
        }
        let code = match (record.pairing_code, record.code_issued_at, record.code_expires_at) {
            (Some(code), Some(issued_at), Some(expires_at)) => Some(IssuedCode { code, issued_at, expires_at }),
            (None, None, None) => None,
            _ => return Err(corrupt("a pairing code and its two instants must be there together")),
        };
        let claim = match (record.claimed_by, record.claimed_at) {
            (Some(by), Some(at)) => Some((by, at)),
            (None, None) => None,
            _ => return Err(corrupt("who claimed and when must be there together")),
        };
        let claimed = |code, by, at| Claim { code, by, at };
        let state = match (status, code, claim, record.activated_at, record.decommissioned_at) {
            (DeviceStatus::Inactive, code, None, None, None) => DeviceState::Inactive { code },
            (DeviceStatus::Claimed, Some(code), Some((by, at)), None, None) => {
                DeviceState::Claimed(claimed(code, by, at))
            }
            (DeviceStatus::Activated, Some(code), Some((by, at)), Some(activated), None) => {
                DeviceState::Activated { claim: claimed(code, by, at), at: activated }
            }
            (DeviceStatus::Decommissioned, None, None, None, Some(at)) => DeviceState::Decommissioned { at },
            (
                DeviceStatus::Inactive | DeviceStatus::Claimed | DeviceStatus::Activated | DeviceStatus::Decommissioned,
                ..,
            ) => return Err(corrupt("the facts do not fit the status")),
        };
        Ok(Self { id, merchant_id, version, provisioned_at, state, details, last_seen, chain })
    }
}
