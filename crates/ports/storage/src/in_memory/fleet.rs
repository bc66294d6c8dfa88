//! In-memory fake of the fleet, the locations and the stored responses of idempotent requests.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pos_domain::audit::AuditEvent;
use pos_domain::device::{Device, DeviceDetails, DeviceRecord, Transition};
use pos_domain::shared::{DeviceId, IdempotencyKey, LocationId, MerchantId, Name, Party, Scope};
use pos_domain::tenancy::Location;
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::fleet::{CreateDevicesError, DevicePage, FleetRepository};
use crate::in_memory::max_rows;
use crate::in_memory::tenancy::TenancyTables;
use crate::shared::{
    IdempotencyRecord, IdempotencyRepository, SaveError, SaveIdempotentError, StorageError, StoredResponse,
};
use crate::tenancy::{AddLocationError, LocationPage, LocationRepository};

impl TenancyTables {
    /// Returns whether data of this merchant is in scope.
    pub(crate) fn sees(&self, scope: Scope, merchant: MerchantId) -> bool {
        match scope {
            Scope::Operator => true,
            Scope::Of(Party::Merchant(own)) => own == merchant,
            Scope::Of(Party::Reseller(own)) => {
                self.merchants.get(&merchant).is_some_and(|merchant| merchant.reseller == Some(own))
            }
        }
    }

    /// Returns whether a merchant exists and is in scope.
    pub(crate) fn has_merchant(&self, scope: Scope, merchant: MerchantId) -> bool {
        self.merchants.contains_key(&merchant) && self.sees(scope, merchant)
    }

    pub(crate) fn has_location(&self, merchant: MerchantId, details: &DeviceDetails) -> bool {
        let is_theirs = |id| self.locations.get(&id).is_some_and(|found: &Location| found.merchant_id == merchant);
        details.location_id.is_none_or(is_theirs)
    }

    /// Returns the response stored under a request's key.
    pub(crate) fn stored_response(&self, idempotency: Option<&IdempotencyRecord>) -> Option<StoredResponse> {
        let request = idempotency?;
        self.response_at(request.party, &request.key, request.at)
    }

    fn response_at(&self, party: Party, key: &IdempotencyKey, now: OffsetDateTime) -> Option<StoredResponse> {
        let stored = self.idempotency.get(&(party, key.clone()))?;
        let response = || StoredResponse { fingerprint: stored.fingerprint, answer: stored.answer.clone() };
        (now < stored.expires_at).then(response)
    }

    pub(crate) fn insert_response(&mut self, idempotency: Option<&IdempotencyRecord>) {
        if let Some(record) = idempotency {
            self.idempotency.insert((record.party, record.key.clone()), record.clone());
        }
    }
}

impl InMemoryStore {
    pub(crate) fn save_in_scope(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.save_transition(&self.tenancy(), scope, transition)
    }

    pub(crate) fn save_with_key(
        &self,
        transition: &Transition,
        idempotency: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        let mut tenancy = self.tenancy();
        if let Some(stored) = tenancy.stored_response(Some(idempotency)) {
            return Err(SaveIdempotentError::Answered(stored));
        }
        self.save_transition(&tenancy, Scope::Operator, transition)?;
        tenancy.insert_response(Some(idempotency));
        Ok(())
    }

    fn save_transition(&self, tenancy: &TenancyTables, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        let mut tables = self.tables();
        let device = transition.device();
        let stored = tables.devices.get(device.id()).ok_or(SaveError::Conflict)?;
        let in_scope = tenancy.sees(scope, stored.merchant_id()) && tenancy.sees(scope, device.merchant_id());
        if stored.version() != transition.expected_version() || !in_scope {
            return Err(SaveError::Conflict);
        }
        if tables.code_is_taken(device) {
            return Err(SaveError::CodeTaken);
        }
        if !tenancy.merchants.contains_key(&device.merchant_id()) {
            return Err(SaveError::UnknownMerchant);
        }
        if !tenancy.has_location(device.merchant_id(), device.details()) {
            return Err(SaveError::UnknownLocation);
        }
        let record = DeviceRecord { last_seen: stored.last_seen().cloned(), ..device.record() };
        let saved = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        tables.devices.insert(saved.id().clone(), saved);
        tables.events.push(transition.event().clone());
        let sequence = transition.event().sequence;
        tables.past_codes.extend(transition.past_code().map(|past| (sequence, past.clone())));
        self.3.increment(device.id());
        Ok(())
    }
}

#[async_trait]
impl FleetRepository for InMemoryStore {
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        idempotency: Option<&IdempotencyRecord>,
    ) -> Result<(), CreateDevicesError> {
        if let Some(existing) = devices.iter().find(|transition| transition.expected_version() != 0) {
            return Err(StorageError::Fault(format!("device {} is not new", existing.device().id()).into()).into());
        }
        let mut tenancy = self.tenancy();
        let mut tables = self.tables();
        if let Some(stored) = tenancy.stored_response(idempotency) {
            return Err(CreateDevicesError::Answered(stored));
        }
        let new = || devices.iter().map(Transition::device);
        if !new().all(|device| tenancy.has_merchant(scope, device.merchant_id())) {
            return Err(CreateDevicesError::UnknownMerchant);
        }
        if !new().all(|device| tenancy.has_location(device.merchant_id(), device.details())) {
            return Err(CreateDevicesError::UnknownLocation);
        }
        let mut seen = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for id in new().map(Device::id) {
            if !seen.insert(id) || tables.devices.contains_key(id) {
                taken.insert(id.clone());
            }
        }
        if !taken.is_empty() {
            return Err(CreateDevicesError::Taken(taken.into_iter().collect()));
        }
        for transition in devices {
            tables.devices.insert(transition.device().id().clone(), transition.device().clone());
            tables.events.push(transition.event().clone());
        }
        tenancy.insert_response(idempotency);
        Ok(())
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        Ok(tables.devices.get(id).filter(|device| tenancy.sees(scope, device.merchant_id())).cloned())
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.save_in_scope(scope, transition)
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        let matches = |device: &&Device| {
            tenancy.sees(page.scope, device.merchant_id())
                && page.after.as_ref().is_none_or(|after| device.id() > after)
                && page.merchant_id.is_none_or(|merchant| device.merchant_id() == merchant)
                && page.location_id.is_none_or(|location| device.details().location_id == Some(location))
                && page.status.is_none_or(|status| device.status() == status)
        };
        Ok(tables.devices.values().filter(matches).take(max_rows(page.limit)).cloned().collect())
    }
}

#[async_trait]
impl LocationRepository for InMemoryStore {
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        idempotency: Option<&IdempotencyRecord>,
        audit: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        let mut tenancy = self.tenancy();
        if let Some(stored) = tenancy.stored_response(idempotency) {
            return Err(AddLocationError::Answered(stored));
        }
        if !tenancy.has_merchant(scope, location.merchant_id) {
            return Err(AddLocationError::UnknownMerchant);
        }
        if tenancy.locations.contains_key(&location.id) {
            return Err(AddLocationError::Taken);
        }
        tenancy.locations.insert(location.id, location.clone());
        tenancy.insert_response(idempotency);
        self.tables().insert_audit_event(audit.clone());
        Ok(())
    }

    async fn find_location(&self, scope: Scope, id: LocationId) -> Result<Option<Location>, StorageError> {
        let tenancy = self.tenancy();
        Ok(tenancy.locations.get(&id).filter(|location| tenancy.sees(scope, location.merchant_id)).cloned())
    }

    async fn rename_location(
        &self,
        scope: Scope,
        id: LocationId,
        name: &Name,
        audit: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        let mut tenancy = self.tenancy();
        let Some(location) = tenancy.locations.get(&id).filter(|one| tenancy.sees(scope, one.merchant_id)) else {
            return Ok(None);
        };
        let renamed = Location { name: name.clone(), ..location.clone() };
        tenancy.locations.insert(id, renamed.clone());
        self.tables().insert_audit_event(audit.clone());
        Ok(Some(renamed))
    }

    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError> {
        let tenancy = self.tenancy();
        let matches = |location: &&Location| {
            tenancy.sees(page.scope, location.merchant_id)
                && page.after.is_none_or(|after| location.id > after)
                && page.merchant_id.is_none_or(|merchant| location.merchant_id == merchant)
        };
        Ok(tenancy.locations.values().filter(matches).take(max_rows(page.limit)).cloned().collect())
    }
}

#[async_trait]
impl IdempotencyRepository for InMemoryStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<StoredResponse>, StorageError> {
        Ok(self.tenancy().response_at(party, key, now))
    }
}
