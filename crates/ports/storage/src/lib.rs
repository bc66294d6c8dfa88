//! Storage ports: the traits that the application requires of a store.
//!
//! There is one small trait per concern, with every error documented, and a fake ([`InMemoryStore`]) that behaves like
//! a real store, conflicts included. With the feature `suite`, [`suite`] contains the contract tests that every adapter
//! and the fake pass.
//!
//! To add a method: document when each error is returned, add a case to the suite, check that it fails on the fake and
//! on each adapter, then implement it. To add an adapter: implement the traits and pass the suite an expression that
//! opens an empty store (`tests/kit/stores.rs` shows how).

pub mod audit;
pub mod device;
pub mod fleet;
mod in_memory;
pub mod pairing;
pub mod shared;
#[cfg(feature = "suite")]
pub mod suite;
pub mod tenancy;

use std::sync::Arc;

pub use in_memory::InMemoryStore;

use audit::{AuditTrail, RetentionRepository};
use device::{DeviceEventLog, DeviceRepository};
use fleet::{FleetRepository, ImportRepository, ImportStaging};
use pairing::{ClaimFailureRepository, DeviceChangeNotifier};
use shared::{IdempotencyRepository, StorageHealth};
use tenancy::{
    ApiClientRepository, ClientFailureRepository, DirectoryRepository, LocationRepository, MemberRepository,
    SessionRepository,
};

/// The ports of one opened store.
#[derive(Clone)]
pub struct Storage {
    /// Devices and their codes, for terminals and claims.
    pub devices: Arc<dyn DeviceRepository>,
    /// Devices, for those who manage them.
    pub fleet: Arc<dyn FleetRepository>,
    /// Locations of devices.
    pub locations: Arc<dyn LocationRepository>,
    /// Stored responses of idempotent requests.
    pub idempotency: Arc<dyn IdempotencyRepository>,
    /// Uploads of imports.
    pub staging: Arc<dyn ImportStaging>,
    /// Uploaded imports.
    pub imports: Arc<dyn ImportRepository>,
    /// Device change notifications.
    pub changes: Arc<dyn DeviceChangeNotifier>,
    /// Audit trail.
    pub events: Arc<dyn DeviceEventLog>,
    /// Checkpoints and verification of the administrative audit trail.
    pub trail: Arc<dyn AuditTrail>,
    /// Failure counts of claims.
    pub failures: Arc<dyn ClaimFailureRepository>,
    /// Resellers and merchants.
    pub directory: Arc<dyn DirectoryRepository>,
    /// Memberships.
    pub members: Arc<dyn MemberRepository>,
    /// API clients.
    pub clients: Arc<dyn ApiClientRepository>,
    /// Failure counts of client secrets.
    pub client_failures: Arc<dyn ClientFailureRepository>,
    /// Sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Purge of expired rows.
    pub retention: Arc<dyn RetentionRepository>,
    /// Health check.
    pub health: Arc<dyn StorageHealth>,
}

impl Storage {
    /// Returns the ports of a store that implements all of them.
    #[must_use]
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: DeviceRepository + DeviceEventLog + ClaimFailureRepository + StorageHealth + 'static,
        S: FleetRepository + LocationRepository + IdempotencyRepository + DeviceChangeNotifier,
        S: ImportStaging + ImportRepository,
        S: DirectoryRepository + MemberRepository + ApiClientRepository + ClientFailureRepository + SessionRepository,
        S: RetentionRepository + AuditTrail,
    {
        Self {
            devices: store.clone(),
            fleet: store.clone(),
            locations: store.clone(),
            idempotency: store.clone(),
            staging: store.clone(),
            imports: store.clone(),
            changes: store.clone(),
            events: store.clone(),
            trail: store.clone(),
            failures: store.clone(),
            directory: store.clone(),
            members: store.clone(),
            clients: store.clone(),
            client_failures: store.clone(),
            sessions: store.clone(),
            retention: store.clone(),
            health: store,
        }
    }
}
