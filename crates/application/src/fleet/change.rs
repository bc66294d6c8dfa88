use std::sync::Arc;

use pos_domain::{Device, DeviceId, Transition};
use pos_port_clock::Clock;
use pos_port_storage::{FleetRepository, SaveError, StorageError};
use time::OffsetDateTime;

use super::{FleetError, Mandate};
use crate::MAX_ATTEMPTS;

/// Loads a device within a mandate, lets a rule decide, saves; and starts again on a fresh load when somebody else was
/// first.
pub(super) struct Changes {
    pub(super) fleet: Arc<dyn FleetRepository>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a rule made of a device.
pub(super) enum Decision {
    /// To be kept.
    Change(Box<Transition>),
    /// There is nothing to change.
    Nothing(Box<Device>),
}

impl From<Transition> for Decision {
    fn from(transition: Transition) -> Self {
        Self::Change(Box::new(transition))
    }
}

impl Changes {
    /// The device as it is afterwards.
    ///
    /// # Errors
    /// [`FleetError::UnknownDevice`], [`FleetError::UnknownMerchant`], [`FleetError::NoSuchPlace`], [`FleetError::Contended`], and what `decide` says.
    pub(super) async fn apply(
        &self,
        mandate: &Mandate,
        id: &DeviceId,
        decide: impl Fn(Device, OffsetDateTime) -> Result<Decision, FleetError> + Send + Sync,
    ) -> Result<Device, FleetError> {
        for _ in 0..MAX_ATTEMPTS {
            let device = find(&*self.fleet, mandate, id).await?;
            let transition = match decide(device, self.clock.now())? {
                Decision::Change(transition) => transition,
                Decision::Nothing(device) => return Ok(*device),
            };
            match self.fleet.save(mandate.scope(), &transition).await {
                Ok(()) => {
                    let (event, act) = (transition.event().kind.as_str(), mandate.act());
                    tracing::info!(device_id = %id, event, actor = %act.actor, "device changed");
                    return Ok(transition.into_device());
                }
                Err(SaveError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(SaveError::UnknownLocation) => {
                    let place = transition.device().details().location_id;
                    return Err(place.map_or(FleetError::Contended, FleetError::NoSuchPlace));
                }
                Err(SaveError::Conflict | SaveError::CodeTaken) => {}
                Err(SaveError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }
}

/// The device of this id, if the mandate reaches it.
pub(super) async fn find(fleet: &dyn FleetRepository, mandate: &Mandate, id: &DeviceId) -> Result<Device, FleetError> {
    let found: Result<Option<Device>, StorageError> = fleet.find(mandate.scope(), id).await;
    found?.filter(|device| mandate.covers(device.merchant_id())).ok_or(FleetError::UnknownDevice)
}
