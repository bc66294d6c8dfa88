use super::PgStore;
use async_trait::async_trait;
use pos_domain::{AuditEvent, Device, DeviceId, IdempotencyKey, Location, LocationId, Name, Party, Scope, Transition};
use pos_port_storage::*;
use time::OffsetDateTime;

fn unbuilt() -> StorageError {
    StorageError::Fault("not built yet".into())
}

#[async_trait]
impl FleetRepository for PgStore {
    async fn create(&self, _: Scope, _: &[Transition], _: Option<&Once>) -> Result<(), CreateDevicesError> {
        Err(unbuilt().into())
    }
    async fn find(&self, _: Scope, _: &DeviceId) -> Result<Option<Device>, StorageError> {
        Err(unbuilt())
    }
    async fn save(&self, _: Scope, _: &Transition) -> Result<(), SaveError> {
        Err(unbuilt().into())
    }
    async fn list(&self, _: &DevicePage) -> Result<Vec<Device>, StorageError> {
        Err(unbuilt())
    }
}

#[async_trait]
impl LocationRepository for PgStore {
    async fn add_location(
        &self,
        _: Scope,
        _: &Location,
        _: Option<&Once>,
        _: &AuditEvent,
    ) -> Result<(), AddLocationError> {
        Err(unbuilt().into())
    }
    async fn find_location(&self, _: Scope, _: LocationId) -> Result<Option<Location>, StorageError> {
        Err(unbuilt())
    }
    async fn rename_location(
        &self,
        _: Scope,
        _: LocationId,
        _: &Name,
        _: &AuditEvent,
    ) -> Result<Option<Location>, StorageError> {
        Err(unbuilt())
    }
    async fn list_locations(&self, _: &LocationPage) -> Result<Vec<Location>, StorageError> {
        Err(unbuilt())
    }
}

#[async_trait]
impl AnswerRepository for PgStore {
    async fn find(&self, _: Party, _: &IdempotencyKey, _: OffsetDateTime) -> Result<Option<KeptAnswer>, StorageError> {
        Err(unbuilt())
    }
}
