use std::sync::Arc;

use pos_domain::{Action, AuditEvent, AuditKind, Location, LocationId, MerchantId, Name, Subject};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{AddLocationError, LocationPage, LocationRepository};

use super::{Created, FleetError, KeyedCall, Mandate, Page, answers};
use crate::MAX_ATTEMPTS;
use crate::draw;

/// Makes the places known where merchants' terminals stand, shows them, gives them other names.
pub struct ManageLocations {
    locations: Arc<dyn LocationRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ManageLocations {
    /// Ids are drawn from `entropy`.
    #[must_use]
    pub fn new(locations: Arc<dyn LocationRepository>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { locations, clock, entropy }
    }

    /// Makes a location of a merchant known; a call with a key makes one, however often it is sent.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::UnknownMerchant`] also for a merchant that has no row.
    pub async fn add(
        &self,
        mandate: &Mandate,
        merchant_id: MerchantId,
        name: &Name,
        call: Option<KeyedCall<'_, Location>>,
    ) -> Result<Created<Location>, FleetError> {
        mandate.permit(Action::EditLocations)?;
        if !mandate.covers(merchant_id) {
            return Err(FleetError::UnknownMerchant);
        }
        let now = self.clock.now();
        if let Some(earlier) = answers::earlier(call.as_ref(), mandate, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = LocationId(draw::uuid(&*self.entropy));
            let location = Location { id, merchant_id, name: name.clone(), created_at: now };
            let once = answers::once(call.as_ref(), mandate, &location, now)?;
            let told = AuditEvent::of(AuditKind::LocationAdded, Subject::Location(id), mandate.act().clone(), now)
                .for_merchant(merchant_id)
                .with("name", name);
            match self.locations.add_location(mandate.scope(), &location, once.as_ref(), &told).await {
                Ok(()) => {
                    tracing::info!(location_id = %id, %merchant_id, actor = %mandate.act().actor, "location added");
                    return Ok(Created::Now(location));
                }
                Err(AddLocationError::Answered(kept)) => return answers::told_again(call.as_ref(), kept),
                Err(AddLocationError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(AddLocationError::Taken) => {}
                Err(AddLocationError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// One location.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, mandate: &Mandate, id: LocationId) -> Result<Location, FleetError> {
        mandate.permit(Action::ViewLocations)?;
        self.find(mandate, id).await
    }

    /// Gives a location another name, if there is one, and answers it as it is afterwards. The same name changes nothing
    /// and goes on no record.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn amend(&self, mandate: &Mandate, id: LocationId, name: Option<&Name>) -> Result<Location, FleetError> {
        mandate.permit(Action::EditLocations)?;
        let location = self.find(mandate, id).await?;
        let Some(name) = name.filter(|name| **name != location.name) else {
            return Ok(location);
        };
        let (act, now) = (mandate.act().clone(), self.clock.now());
        let told = AuditEvent::of(AuditKind::LocationAmended, Subject::Location(id), act, now)
            .for_merchant(location.merchant_id)
            .with("name", name);
        let renamed = self.locations.rename_location(mandate.scope(), id, name, &told).await?;
        let renamed = renamed.ok_or(FleetError::UnknownLocation)?;
        tracing::info!(location_id = %id, actor = %mandate.act().actor, "location renamed");
        Ok(renamed)
    }

    /// The mandate's locations in the order of their ids, those after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        mandate: &Mandate,
        after: Option<LocationId>,
        limit: u32,
    ) -> Result<Page<Location>, FleetError> {
        mandate.permit(Action::ViewLocations)?;
        let (scope, merchant_id) = (mandate.scope(), mandate.merchant_id());
        let page = LocationPage { scope, merchant_id, after, limit: limit.saturating_add(1) };
        Ok(Page::of(self.locations.list_locations(&page).await?, limit))
    }

    async fn find(&self, mandate: &Mandate, id: LocationId) -> Result<Location, FleetError> {
        let found = self.locations.find_location(mandate.scope(), id).await?;
        found.filter(|location| mandate.covers(location.merchant_id)).ok_or(FleetError::UnknownLocation)
    }
}
