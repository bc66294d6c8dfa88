//! Errors of the fleet use cases.

use std::error::Error;

use pos_domain::device::{DecommissionRefusal, ReleaseRefusal, TransferRefusal, UpdateRefusal};
use pos_domain::shared::LocationId;
use pos_port_storage::shared::StorageError;

/// Why a request about a device, a location or a merchant failed. Anything of another tenant is reported as unknown.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The role or the kind of party does not allow it.
    #[error("Role does not allow this")]
    Forbidden,
    /// The authorization allows no merchant with this id.
    #[error("Merchant not found")]
    UnknownMerchant,
    /// The authorization allows no device with this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The authorization allows no location with this id.
    #[error("Location not found")]
    UnknownLocation,
    /// The location of a device does not exist or belongs to another merchant.
    #[error("Unknown location")]
    InvalidLocation(LocationId),
    /// A device with this id exists already, of whatever merchant.
    #[error("Device already exists")]
    Taken,
    /// The state of the device does not allow it.
    #[error(transparent)]
    Refused(#[from] StateRefusal),
    /// The Idempotency-Key was used for another request.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// Every attempt was overtaken by a concurrent modification.
    #[error("gave up after {} concurrent modifications", super::MAX_ATTEMPTS)]
    Contended,
    /// The response could not be serialized.
    #[error("failed to serialize the response")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// The store is unavailable or failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Rule of the device state that refused a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateRefusal {
    /// Refusal of an update.
    #[error(transparent)]
    Update(#[from] UpdateRefusal),
    /// Refusal of a release.
    #[error(transparent)]
    Release(#[from] ReleaseRefusal),
    /// Refusal of a decommissioning.
    #[error(transparent)]
    Decommission(#[from] DecommissionRefusal),
    /// Refusal of a transfer.
    #[error(transparent)]
    Move(#[from] TransferRefusal),
}
