//! The fake's part for those who manage devices: the fleet, its locations, and the answers to creating calls.

use std::collections::BTreeSet;

use async_trait::async_trait;
use pos_domain::{
    AuditEvent, Device, DeviceDetails, DeviceId, DeviceRecord, IdempotencyKey, Location, LocationId, MerchantId, Name,
    Party, Scope, Transition,
};
use time::OffsetDateTime;

use crate::in_memory::most;
use crate::in_memory_tenancy::TenancyTables;
use crate::{
    AddLocationError, AnswerRepository, CreateDevicesError, DevicePage, FleetRepository, InMemoryStore, KeptAnswer,
    LocationPage, LocationRepository, Once, SaveError, SaveOnceError, StorageError,
};

impl TenancyTables {
    /// Whether a scope sees what is of this merchant.
    pub(crate) fn sees(&self, scope: Scope, merchant: MerchantId) -> bool {
        match scope {
            Scope::Operator => true,
            Scope::Of(Party::Merchant(own)) => own == merchant,
            Scope::Of(Party::Reseller(own)) => {
                self.merchants.get(&merchant).is_some_and(|merchant| merchant.reseller == Some(own))
            }
        }
    }

    /// Whether a merchant is there and a scope sees it.
    pub(crate) fn has_merchant(&self, scope: Scope, merchant: MerchantId) -> bool {
        self.merchants.contains_key(&merchant) && self.sees(scope, merchant)
    }

    pub(crate) fn has_place(&self, merchant: MerchantId, details: &DeviceDetails) -> bool {
        let is_theirs = |id| self.locations.get(&id).is_some_and(|place: &Location| place.merchant_id == merchant);
        details.location_id.is_none_or(is_theirs)
    }

    /// The answer that is kept under a call's key.
    pub(crate) fn answered(&self, once: Option<&Once>) -> Option<KeptAnswer> {
        let once = once?;
        self.answer(once.party, &once.key, once.at)
    }

    fn answer(&self, party: Party, key: &IdempotencyKey, now: OffsetDateTime) -> Option<KeptAnswer> {
        let kept = self.answers.get(&(party, key.clone()))?;
        let answer = || KeptAnswer { fingerprint: kept.fingerprint, answer: kept.answer.clone() };
        (now < kept.keep_until).then(answer)
    }

    pub(crate) fn keep_answer(&mut self, once: Option<&Once>) {
        if let Some(once) = once {
            self.answers.insert((once.party, once.key.clone()), once.clone());
        }
    }
}

impl InMemoryStore {
    pub(crate) fn keep(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.keep_in(&self.tenancy(), scope, transition)
    }

    pub(crate) fn keep_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        let mut tenancy = self.tenancy();
        if let Some(kept) = tenancy.answered(Some(once)) {
            return Err(SaveOnceError::Answered(kept));
        }
        self.keep_in(&tenancy, Scope::Operator, transition)?;
        tenancy.keep_answer(Some(once));
        Ok(())
    }

    fn keep_in(&self, tenancy: &TenancyTables, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        let mut tables = self.tables();
        let device = transition.device();
        let stored = tables.devices.get(device.id()).ok_or(SaveError::Conflict)?;
        let sees = tenancy.sees(scope, stored.merchant_id()) && tenancy.sees(scope, device.merchant_id());
        if stored.version() != transition.expected_version() || !sees {
            return Err(SaveError::Conflict);
        }
        if tables.code_is_taken(device) {
            return Err(SaveError::CodeTaken);
        }
        if !tenancy.merchants.contains_key(&device.merchant_id()) {
            return Err(SaveError::UnknownMerchant);
        }
        if !tenancy.has_place(device.merchant_id(), device.details()) {
            return Err(SaveError::UnknownLocation);
        }
        let record = DeviceRecord { last_seen: stored.last_seen().cloned(), ..device.record() };
        let kept = Device::restore(record).map_err(|corrupt| StorageError::Fault(corrupt.into()))?;
        tables.devices.insert(kept.id().clone(), kept);
        tables.events.push(transition.event().clone());
        let sequence = transition.event().sequence;
        tables.ended_codes.extend(transition.ended_code().map(|ended| (sequence, ended.clone())));
        self.3.changed(device.id());
        Ok(())
    }
}

#[async_trait]
impl FleetRepository for InMemoryStore {
    async fn create(
        &self,
        scope: Scope,
        devices: &[Transition],
        once: Option<&Once>,
    ) -> Result<(), CreateDevicesError> {
        if let Some(known) = devices.iter().find(|transition| transition.expected_version() != 0) {
            return Err(StorageError::Fault(format!("device {} is not new", known.device().id()).into()).into());
        }
        let mut tenancy = self.tenancy();
        let mut tables = self.tables();
        if let Some(kept) = tenancy.answered(once) {
            return Err(CreateDevicesError::Answered(kept));
        }
        let new = || devices.iter().map(Transition::device);
        if !new().all(|device| tenancy.has_merchant(scope, device.merchant_id())) {
            return Err(CreateDevicesError::UnknownMerchant);
        }
        if !new().all(|device| tenancy.has_place(device.merchant_id(), device.details())) {
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
        tenancy.keep_answer(once);
        Ok(())
    }

    async fn find(&self, scope: Scope, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        Ok(tables.devices.get(id).filter(|device| tenancy.sees(scope, device.merchant_id())).cloned())
    }

    async fn save(&self, scope: Scope, transition: &Transition) -> Result<(), SaveError> {
        self.keep(scope, transition)
    }

    async fn list(&self, page: &DevicePage) -> Result<Vec<Device>, StorageError> {
        let tenancy = self.tenancy();
        let tables = self.tables();
        let wanted = |device: &&Device| {
            tenancy.sees(page.scope, device.merchant_id())
                && page.after.as_ref().is_none_or(|after| device.id() > after)
                && page.merchant_id.is_none_or(|merchant| device.merchant_id() == merchant)
                && page.location_id.is_none_or(|location| device.details().location_id == Some(location))
                && page.status.is_none_or(|status| device.status() == status)
        };
        Ok(tables.devices.values().filter(wanted).take(most(page.limit)).cloned().collect())
    }
}

#[async_trait]
impl LocationRepository for InMemoryStore {
    async fn add_location(
        &self,
        scope: Scope,
        location: &Location,
        once: Option<&Once>,
        told: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        let mut tenancy = self.tenancy();
        if let Some(kept) = tenancy.answered(once) {
            return Err(AddLocationError::Answered(kept));
        }
        if !tenancy.has_merchant(scope, location.merchant_id) {
            return Err(AddLocationError::UnknownMerchant);
        }
        if tenancy.locations.contains_key(&location.id) {
            return Err(AddLocationError::Taken);
        }
        tenancy.locations.insert(location.id, location.clone());
        tenancy.keep_answer(once);
        self.tables().tell(told.clone());
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
        told: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        let mut tenancy = self.tenancy();
        let Some(location) = tenancy.locations.get(&id).filter(|one| tenancy.sees(scope, one.merchant_id)) else {
            return Ok(None);
        };
        let renamed = Location { name: name.clone(), ..location.clone() };
        tenancy.locations.insert(id, renamed.clone());
        self.tables().tell(told.clone());
        Ok(Some(renamed))
    }

    async fn list_locations(&self, page: &LocationPage) -> Result<Vec<Location>, StorageError> {
        let tenancy = self.tenancy();
        let wanted = |location: &&Location| {
            tenancy.sees(page.scope, location.merchant_id)
                && page.after.is_none_or(|after| location.id > after)
                && page.merchant_id.is_none_or(|merchant| location.merchant_id == merchant)
        };
        Ok(tenancy.locations.values().filter(wanted).take(most(page.limit)).cloned().collect())
    }
}

#[async_trait]
impl AnswerRepository for InMemoryStore {
    async fn find(
        &self,
        party: Party,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<KeptAnswer>, StorageError> {
        Ok(self.tenancy().answer(party, key, now))
    }
}
