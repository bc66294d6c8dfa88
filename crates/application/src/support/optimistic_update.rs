//! Optimistic concurrency control: load a device, decide, save, retry on a conflict.

use std::sync::Arc;

use pos_domain::device::{Device, Transition};
use pos_domain::shared::DeviceId;
use pos_port_clock::Clock;
use pos_port_storage::fleet::FleetRepository;
use pos_port_storage::shared::{SaveError, StorageError};
use time::OffsetDateTime;

use crate::support::MAX_ATTEMPTS;
use crate::support::{Authorization, FleetError};

/// Loads a device of the authorization, lets a rule decide, saves the result, and retries with a fresh device after a
/// concurrent modification.
pub(crate) struct OptimisticUpdate {
    pub(crate) fleet: Arc<dyn FleetRepository>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Decision of a rule.
pub(crate) enum Decision {
    /// The change to save.
    Change(Box<Transition>),
    /// There is nothing to change.
    Unchanged(Box<Device>),
}

impl From<Transition> for Decision {
    fn from(transition: Transition) -> Self {
        Self::Change(Box::new(transition))
    }
}

impl OptimisticUpdate {
    /// Applies `decide` to a device and returns the updated device.
    ///
    /// # Errors
    /// [`FleetError::UnknownDevice`], [`FleetError::UnknownMerchant`], [`FleetError::InvalidLocation`],
    /// [`FleetError::Contended`], and the errors of `decide`.
    pub(crate) async fn apply(
        &self,
        authorization: &Authorization,
        id: &DeviceId,
        decide: impl Fn(Device, OffsetDateTime) -> Result<Decision, FleetError> + Send + Sync,
    ) -> Result<Device, FleetError> {
        for _ in 0..MAX_ATTEMPTS {
            let device = find(&*self.fleet, authorization, id).await?;
            let transition = match decide(device, self.clock.now())? {
                Decision::Change(transition) => transition,
                Decision::Unchanged(device) => return Ok(*device),
            };
            match self.fleet.save(authorization.scope(), &transition).await {
                Ok(()) => {
                    let (event, audit_context) = (transition.event().kind.as_str(), authorization.audit_context());
                    tracing::info!(device_id = %id, event, actor = %audit_context.actor, "device changed");
                    return Ok(transition.into_device());
                }
                Err(SaveError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(refused @ SaveError::UnknownLocation) => {
                    let location = transition.device().details().location_id;
                    let fault = || StorageError::Fault(refused.into()).into();
                    return Err(location.map_or_else(fault, FleetError::InvalidLocation));
                }
                Err(SaveError::Conflict) => {}
                // No change of the fleet gives a device a code.
                Err(impossible @ SaveError::CodeTaken) => return Err(StorageError::Fault(impossible.into()).into()),
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }
}

/// Finds a device that the authorization allows.
pub(crate) async fn find(
    fleet: &dyn FleetRepository,
    authorization: &Authorization,
    id: &DeviceId,
) -> Result<Device, FleetError> {
    let found: Result<Option<Device>, StorageError> = fleet.find(authorization.scope(), id).await;
    found?.filter(|device| authorization.allows(device.merchant_id())).ok_or(FleetError::UnknownDevice)
}
