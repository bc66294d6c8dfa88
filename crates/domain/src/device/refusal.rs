//! Why a rule said no, one small type a rule.

/// Why a terminal gets no pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssueRefusal {
    /// It is claimed or activated.
    #[error("Device has already been claimed")]
    AlreadyClaimed,
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
}

/// Why a device is not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseRefusal {
    /// There is no claim to take back.
    #[error("Device has not been claimed")]
    NotClaimed,
}
