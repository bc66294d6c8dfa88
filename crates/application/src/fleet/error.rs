use std::error::Error;

use pos_domain::{AmendRefusal, DecommissionRefusal, LocationId, MoveRefusal, ReleaseRefusal};
use pos_port_storage::StorageError;

/// Why something was not done to a device, a location or a merchant. What is somebody else's is told as what does not
/// exist.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The caller is known there, and its role or its kind of party may not.
    #[error("Role does not allow this")]
    Forbidden,
    /// The mandate reaches no merchant of this id.
    #[error("Merchant not found")]
    UnknownMerchant,
    /// The mandate reaches no device of this id.
    #[error("Device not found")]
    UnknownDevice,
    /// The mandate reaches no location of this id.
    #[error("Location not found")]
    UnknownLocation,
    /// A device was to be put at a location that is not its merchant's, or not there.
    #[error("Unknown location")]
    NoSuchPlace(LocationId),
    /// Another device has the id, whoever's it is.
    #[error("Device already exists")]
    Taken,
    /// The device's state forbids it.
    #[error(transparent)]
    Refused(#[from] StateRefusal),
    /// The caller's key was used for another request.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// Every attempt lost a race.
    #[error("it kept changing")]
    Contended,
    /// What the caller is to be told could not be put into words.
    #[error("no answer could be made")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
    /// The store did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Which rule of the device's state said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateRefusal {
    /// See [`AmendRefusal`].
    #[error(transparent)]
    Amend(#[from] AmendRefusal),
    /// See [`ReleaseRefusal`].
    #[error(transparent)]
    Release(#[from] ReleaseRefusal),
    /// See [`DecommissionRefusal`].
    #[error(transparent)]
    Decommission(#[from] DecommissionRefusal),
    /// See [`MoveRefusal`].
    #[error(transparent)]
    Move(#[from] MoveRefusal),
}
