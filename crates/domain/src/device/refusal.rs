//! Why a rule said no, one small type a rule.

/// Why a terminal gets no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueRefusal {
    /// It is claimed or activated.
    #[error("Device has already been claimed")]
    AlreadyClaimed,
    /// It is out of use.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a code does not claim its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// The device was claimed with this very code before.
    #[error("Pairing code has already been used")]
    AlreadyUsed,
    /// The code's time is over, or the device has had another code since.
    #[error("Pairing code has expired")]
    Expired,
    /// The device belongs to another merchant.
    #[error("Device does not belong to your merchant account")]
    NotOwner,
}

/// Why a terminal is not activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActivateRefusal {
    /// No merchant has claimed it.
    #[error("Device has not been claimed")]
    NotClaimed,
    /// It is activated already.
    #[error("Device has already been activated")]
    AlreadyActivated,
    /// It is out of use.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device is not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefusal {
    /// There is no claim to take back.
    #[error("Device has not been claimed")]
    NotClaimed,
    /// It is out of use.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why what is kept of a device is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmendRefusal {
    /// It is out of use.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device does not go to another merchant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefusal {
    /// It is claimed or activated: release it first.
    #[error("Device has already been claimed")]
    AlreadyClaimed,
    /// It belongs to that merchant already.
    #[error("Device belongs to this merchant already")]
    SameMerchant,
    /// It is out of use.
    #[error("Device has been decommissioned")]
    Decommissioned,
}

/// Why a device is not taken out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecommissionRefusal {
    /// It is already.
    #[error("Device has already been decommissioned")]
    AlreadyDecommissioned,
}
