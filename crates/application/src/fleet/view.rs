use std::sync::Arc;

use pos_domain::{Action, Device, DeviceEvent, DeviceId, DeviceStatus, LocationId};
use pos_port_storage::{DevicePage, EventLog, FleetRepository, History};

use super::change::find;
use super::{FleetError, Mandate};

/// Shows devices, and what happened to them.
pub struct ViewDevices {
    fleet: Arc<dyn FleetRepository>,
    events: Arc<dyn EventLog>,
}

/// Which devices to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Only those in this state.
    pub status: Option<DeviceStatus>,
    /// Only those at this location.
    pub location_id: Option<LocationId>,
}

/// A part of a list, in the list's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// Whether there is more after the last of them.
    pub more: bool,
}

impl<T> Page<T> {
    /// The page of at most `limit` from rows of which one more was asked for.
    pub(super) fn of(mut items: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

impl ViewDevices {
    /// Shows what is in `fleet` and `events`.
    #[must_use]
    pub fn new(fleet: Arc<dyn FleetRepository>, events: Arc<dyn EventLog>) -> Self {
        Self { fleet, events }
    }

    /// One device.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, mandate: &Mandate, id: &DeviceId) -> Result<Device, FleetError> {
        mandate.permit(Action::ViewDevices)?;
        find(&*self.fleet, mandate, id).await
    }

    /// The mandate's devices in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        mandate: &Mandate,
        filter: DeviceFilter,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Page<Device>, FleetError> {
        mandate.permit(Action::ViewDevices)?;
        let page = DevicePage {
            scope: mandate.scope(),
            merchant_id: mandate.merchant_id(),
            location_id: filter.location_id,
            status: filter.status,
            after,
            limit: limit.saturating_add(1),
        };
        Ok(Page::of(self.fleet.list(&page).await?, limit))
    }

    /// What happened to a device while it was within the mandate's scope, oldest first, at most `limit` after the event
    /// of this sequence.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn events(
        &self,
        mandate: &Mandate,
        id: &DeviceId,
        after: u64,
        limit: u32,
    ) -> Result<Page<DeviceEvent>, FleetError> {
        mandate.permit(Action::ViewEvents)?;
        find(&*self.fleet, mandate, id).await?;
        let history = History { scope: mandate.scope(), device_id: id.clone(), after, limit: limit.saturating_add(1) };
        Ok(Page::of(self.events.events_of(&history).await?, limit))
    }
}
