//! Use case: update of a device's label and location.

use std::sync::Arc;

use pos_domain::device::{Device, DeviceDetails};
use pos_domain::shared::{DeviceId, LocationId, Name};
use pos_domain::tenancy::Action;
use pos_port_clock::Clock;
use pos_port_storage::fleet::FleetRepository;

use crate::support::optimistic_update::{Decision, OptimisticUpdate};
use crate::support::{Authorization, FleetError, StateRefusal};

/// Changes details of a device that are independent of its state: label and location.
pub struct UpdateDevice(OptimisticUpdate);

/// Changes to the details. The outer `None` leaves a detail unchanged, the inner one removes it (RFC 7396).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailsPatch {
    /// New label.
    pub label: Option<Option<Name>>,
    /// New location.
    pub location_id: Option<Option<LocationId>>,
}

impl DetailsPatch {
    fn applied_to(&self, details: &DeviceDetails) -> DeviceDetails {
        DeviceDetails {
            label: self.label.clone().unwrap_or_else(|| details.label.clone()),
            location_id: self.location_id.unwrap_or(details.location_id),
        }
    }
}

impl UpdateDevice {
    /// Creates the use case.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(OptimisticUpdate { fleet, clock })
    }

    /// Updates a device and returns it. An update without a change records no event.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::InvalidLocation`] if the location does not belong to the device's merchant.
    pub async fn execute(
        &self,
        authorization: &Authorization,
        id: &DeviceId,
        patch: &DetailsPatch,
    ) -> Result<Device, FleetError> {
        authorization.authorize(Action::EditDevice)?;
        let decide = |device: Device, now| {
            let details = patch.applied_to(device.details());
            let unchanged = details == *device.details();
            let updated = device
                .clone()
                .update(details, authorization.audit_context().clone(), now)
                .map_err(StateRefusal::from)?;
            Ok(if unchanged { Decision::Unchanged(Box::new(device)) } else { updated.into() })
        };
        self.0.apply(authorization, id, decide).await
    }
}
