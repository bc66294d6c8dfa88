//! Flat record of a device for storage adapters, and its validation when it is loaded.

use time::OffsetDateTime;

use crate::device::{ChainTip, PairingCode};
use crate::device::{Claim, Device, DeviceDetails, DeviceState, DeviceStatus, IssuedCode, TerminalInfo};
use crate::shared::{DeviceId, MerchantId, UserId};

/// A device as one flat row. [`Device::record`] creates it; [`Device::restore`] turns it back into a device if its
/// columns match its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Id of the device.
    pub id: DeviceId,
    /// Id of its merchant.
    pub merchant_id: MerchantId,
    /// Version, at least 1.
    pub version: u64,
    /// When it was provisioned.
    pub provisioned_at: OffsetDateTime,
    /// Status that the columns below must match.
    pub status: DeviceStatus,
    /// Current code; set if and only if the two instants after it are.
    pub pairing_code: Option<PairingCode>,
    /// When the code was issued.
    pub code_issued_at: Option<OffsetDateTime>,
    /// When the code expires.
    pub code_expires_at: Option<OffsetDateTime>,
    /// User who claimed the device; set while it is claimed or activated.
    pub claimed_by: Option<UserId>,
    /// When it was claimed; set while it is claimed or activated.
    pub claimed_at: Option<OffsetDateTime>,
    /// When it was activated; set only while it is activated.
    pub activated_at: Option<OffsetDateTime>,
    /// When it was decommissioned; set only if it is.
    pub decommissioned_at: Option<OffsetDateTime>,
    /// Label and location.
    pub details: DeviceDetails,
    /// Terminal info last reported.
    pub last_seen: Option<TerminalInfo>,
    /// Tip of its hash chain.
    pub chain: Option<ChainTip>,
}

/// Error for a record whose columns do not match its status: the store was edited by hand, or an adapter is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("device {device_id}: {fault}")]
pub struct CorruptDevice {
    /// Id of the device.
    pub device_id: DeviceId,
    /// What is inconsistent.
    pub fault: &'static str,
}

impl Device {
    /// Returns the device as a flat record.
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

    /// Returns the device of a record.
    ///
    /// # Errors
    /// [`CorruptDevice`] if the columns do not match the status.
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
            _ => return Err(corrupt("a pairing code, its issue time and its expiry must be set together")),
        };
        let claim = match (record.claimed_by, record.claimed_at) {
            (Some(by), Some(at)) => Some((by, at)),
            (None, None) => None,
            _ => return Err(corrupt("claimed_by and claimed_at must be set together")),
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
            ) => return Err(corrupt("the columns do not match the status")),
        };
        Ok(Self { id, merchant_id, version, provisioned_at, state, details, last_seen, chain })
    }
}
