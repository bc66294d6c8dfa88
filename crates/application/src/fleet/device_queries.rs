//! Queries of devices and their events.

use crate::support::Page;
use std::sync::Arc;

use pos_domain::device::{Device, DeviceEvent, DeviceStatus};
use pos_domain::shared::{DeviceId, LocationId};
use pos_domain::tenancy::Action;
use pos_port_storage::device::{DeviceEventLog, DeviceHistory};
use pos_port_storage::fleet::{DevicePage, FleetRepository};

use crate::support::optimistic_update::find;
use crate::support::{Authorization, FleetError};

/// Queries devices and their events.
pub struct DeviceQueries {
    fleet: Arc<dyn FleetRepository>,
    events: Arc<dyn DeviceEventLog>,
}

/// Filter of a device list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Only devices with this status.
    pub status: Option<DeviceStatus>,
    /// Only devices at this location.
    pub location_id: Option<LocationId>,
}

impl DeviceQueries {
    /// Creates the queries on `fleet` and `events`.
    #[must_use]
    pub(crate) fn new(fleet: Arc<dyn FleetRepository>, events: Arc<dyn DeviceEventLog>) -> Self {
        Self { fleet, events }
    }

    /// Returns a device.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, authorization: &Authorization, id: &DeviceId) -> Result<Device, FleetError> {
        authorization.authorize(Action::ViewDevices)?;
        find(&*self.fleet, authorization, id).await
    }

    /// Lists the devices that the authorization allows, ordered by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        authorization: &Authorization,
        filter: DeviceFilter,
        after: Option<DeviceId>,
        limit: u32,
    ) -> Result<Page<Device>, FleetError> {
        authorization.authorize(Action::ViewDevices)?;
        let page = DevicePage {
            scope: authorization.scope(),
            merchant_id: authorization.merchant_id(),
            location_id: filter.location_id,
            status: filter.status,
            after,
            limit: limit.saturating_add(1),
        };
        Ok(Page::of(self.fleet.list(&page).await?, limit))
    }

    /// Lists the events of a device from its time in the authorization's scope, oldest first, at most `limit` after the event
    /// with sequence `after`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn events(
        &self,
        authorization: &Authorization,
        id: &DeviceId,
        after: u64,
        limit: u32,
    ) -> Result<Page<DeviceEvent>, FleetError> {
        authorization.authorize(Action::ViewEvents)?;
        find(&*self.fleet, authorization, id).await?;
        let history = DeviceHistory {
            scope: authorization.scope(),
            device_id: id.clone(),
            after,
            limit: limit.saturating_add(1),
        };
        Ok(Page::of(self.events.events_of(&history).await?, limit))
    }
}
