//! Refusals of device transitions, one type per rule.

/// Why no pairing code is issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueRefusal {
    /// It is claimed or activated.
    #[error("Device has already been claimed")]
    AlreadyClaimed,
    /// It is decommissioned.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a claim is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// The device was already claimed with this code.
    #[error("Pairing code has already been used")]
    AlreadyUsed,
    /// The code has expired or was superseded.
    #[error("Pairing code has expired")]
    Expired,
    /// The device belongs to another merchant.
    #[error("Device does not belong to your merchant account")]
    NotOwner,
}

/// Why a device is not activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActivateRefusal {
    /// It is not claimed.
    #[error("Device has not been claimed")]
    NotClaimed,
    /// It is already activated.
    #[error("Device has already been activated")]
    AlreadyActivated,
    /// It is decommissioned.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device is not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefusal {
    /// It is not claimed.
    #[error("Device has not been claimed")]
    NotClaimed,
    /// It is decommissioned.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device's details are not updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateRefusal {
    /// It is decommissioned.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device is not transferred to another merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransferRefusal {
    /// It is claimed or activated and must be released first.
    #[error("Device has already been claimed")]
    AlreadyClaimed,
    /// It already belongs to that merchant.
    #[error("Device belongs to this merchant already")]
    SameMerchant,
    /// It is decommissioned.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device is not decommissioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecommissionRefusal {
    /// It is already decommissioned.
    #[error("Device has already been decommissioned")]
    AlreadyDecommissioned,
}
