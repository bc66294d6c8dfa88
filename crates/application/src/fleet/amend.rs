use std::sync::Arc;

use pos_domain::{Action, Device, DeviceDetails, DeviceId, LocationId, Name};
use pos_port_clock::Clock;
use pos_port_storage::FleetRepository;

use super::change::{Changes, Decision};
use super::{FleetError, Mandate, StateRefusal};

/// Changes what is kept of a device beside its state: its label, and where it stands.
pub struct AmendDevice(Changes);

/// What is to be changed. The outer `None` leaves a detail as it is, the inner one takes it away (RFC 7396).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailsPatch {
    /// What people call it.
    pub label: Option<Option<Name>>,
    /// Where it stands.
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

impl AmendDevice {
    /// Amends by `clock`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, clock: Arc<dyn Clock>) -> Self {
        Self(Changes { fleet, clock })
    }

    /// Amends a device and answers it as it is afterwards. What changes nothing leaves no event.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::NoSuchPlace`] for a location that is not the device's merchant's.
    pub async fn execute(&self, mandate: &Mandate, id: &DeviceId, patch: &DetailsPatch) -> Result<Device, FleetError> {
        mandate.permit(Action::EditDevice)?;
        let decide = |device: Device, now| {
            let details = patch.applied_to(device.details());
            let unchanged = details == *device.details();
            let amended = device.clone().amend(details, mandate.act().clone(), now).map_err(StateRefusal::from)?;
            Ok(if unchanged { Decision::Nothing(Box::new(device)) } else { amended.into() })
        };
        self.0.apply(mandate, id, decide).await
    }
}
