//! Use cases: locations of merchants.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{LocationId, Name};
use pos_domain::tenancy::{Action, Location};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::tenancy::{AddLocationError, LocationPage, LocationRepository};

use crate::support::MAX_ATTEMPTS;
use crate::support::random;
use crate::support::response::{self, Created};
use crate::support::{Authorization, EncodedResponse, FleetError, MerchantAuthorization, Page, ResponseEncoder};

/// Adds, lists and renames the locations of merchants' terminals.
pub struct ManageLocations {
    locations: Arc<dyn LocationRepository>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ManageLocations {
    /// Creates the use case; ids are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(
        locations: Arc<dyn LocationRepository>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { locations, clock, entropy }
    }

    /// Adds a location of the merchant.
    ///
    /// # Errors
    /// [`FleetError`]; [`FleetError::UnknownMerchant`] also if the merchant does not exist.
    pub async fn add(&self, authorization: &MerchantAuthorization, name: &Name) -> Result<Location, FleetError> {
        self.create(authorization, name, None).await?.into_created()
    }

    /// Like [`Self::add`], and returns the encoded response. A request with a key adds the location once, however often it
    /// is repeated.
    ///
    /// # Errors
    /// As [`Self::add`]; [`FleetError::KeyReused`].
    pub async fn add_encoded(
        &self,
        authorization: &MerchantAuthorization,
        name: &Name,
        encoder: ResponseEncoder<'_, Location>,
    ) -> Result<EncodedResponse, FleetError> {
        self.create(authorization, name, Some(&encoder)).await?.into_response()
    }

    async fn create(
        &self,
        authorization: &MerchantAuthorization,
        name: &Name,
        encoder: Option<&ResponseEncoder<'_, Location>>,
    ) -> Result<Created<Location>, FleetError> {
        authorization.authorize(Action::EditLocations)?;
        let (merchant_id, now) = (authorization.merchant_id(), self.clock.now());
        if let Some(earlier) = response::find_earlier(encoder, authorization, now).await? {
            return Ok(earlier);
        }
        for _ in 0..MAX_ATTEMPTS {
            let id = LocationId(random::uuid(&*self.entropy));
            let location = Location { id, merchant_id, name: name.clone(), created_at: now };
            let encoded = response::encode(encoder, authorization, &location, now)?;
            let audit = AuditEvent::of(
                AuditKind::LocationAdded,
                Subject::Location(id),
                authorization.audit_context().clone(),
                now,
            )
            .for_merchant(merchant_id)
            .with("name", name);
            match self.locations.add_location(authorization.scope(), &location, encoded.record.as_ref(), &audit).await {
                Ok(()) => {
                    tracing::info!(location_id = %id, %merchant_id, actor = %authorization.audit_context().actor, "location added");
                    return Ok(Created::New(location, encoded.body));
                }
                Err(AddLocationError::Answered(stored)) => return response::replay(encoder, stored),
                Err(AddLocationError::UnknownMerchant) => return Err(FleetError::UnknownMerchant),
                Err(AddLocationError::Taken) => {}
                Err(AddLocationError::Storage(error)) => return Err(error.into()),
            }
        }
        Err(FleetError::Contended)
    }

    /// Returns a location.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn one(&self, authorization: &Authorization, id: LocationId) -> Result<Location, FleetError> {
        authorization.authorize(Action::ViewLocations)?;
        self.find(authorization, id).await
    }

    /// Renames a location if `name` is given, and returns it. The same name changes nothing and is not audited.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn update(
        &self,
        authorization: &Authorization,
        id: LocationId,
        name: Option<&Name>,
    ) -> Result<Location, FleetError> {
        authorization.authorize(Action::EditLocations)?;
        let location = self.find(authorization, id).await?;
        let Some(name) = name.filter(|name| **name != location.name) else {
            return Ok(location);
        };
        let (audit_context, now) = (authorization.audit_context().clone(), self.clock.now());
        let audit = AuditEvent::of(AuditKind::LocationUpdated, Subject::Location(id), audit_context, now)
            .for_merchant(location.merchant_id)
            .with("name", name);
        let renamed = self.locations.rename_location(authorization.scope(), id, name, &audit).await?;
        let renamed = renamed.ok_or(FleetError::UnknownLocation)?;
        tracing::info!(location_id = %id, actor = %authorization.audit_context().actor, "location renamed");
        Ok(renamed)
    }

    /// Lists the locations that the authorization allows, ordered by id, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`FleetError`].
    pub async fn list(
        &self,
        authorization: &Authorization,
        after: Option<LocationId>,
        limit: u32,
    ) -> Result<Page<Location>, FleetError> {
        authorization.authorize(Action::ViewLocations)?;
        let (scope, merchant_id) = (authorization.scope(), authorization.merchant_id());
        let page = LocationPage { scope, merchant_id, after, limit: limit.saturating_add(1) };
        Ok(Page::of(self.locations.list_locations(&page).await?, limit))
    }

    async fn find(&self, authorization: &Authorization, id: LocationId) -> Result<Location, FleetError> {
        let found = self.locations.find_location(authorization.scope(), id).await?;
        found.filter(|location| authorization.allows(location.merchant_id)).ok_or(FleetError::UnknownLocation)
    }
}
