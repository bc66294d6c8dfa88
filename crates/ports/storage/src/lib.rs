//! What the application asks of a store.
//!
//! One small trait for each concern, every error documented, and the fake beside it ([`InMemoryStore`]) that behaves
//! as a real store does, conflicts included. With the feature `suite`, [`suite`] is the contract in executable form:
//! every adapter, and the fake, passes the same cases.
//!
//! To add a method: document when each error must be returned, add a case to the suite, watch it fail on the fake and
//! on each adapter, then make it pass. To add an adapter: implement the traits and hand the suite a way to open an
//! empty store (`tests/src/stores.rs` shows how).

mod answers;
mod audit;
mod changes;
mod clients;
mod devices;
mod directory;
mod error;
mod failures;
mod fleet;
mod imports;
mod in_memory;
mod in_memory_changes;
mod in_memory_fleet;
mod in_memory_imports;
mod in_memory_reclaiming;
mod in_memory_tenancy;
mod in_memory_trail;
mod locations;
mod members;
mod reclaiming;
mod sessions;
#[cfg(feature = "suite")]
pub mod suite;
mod trail;

use std::sync::Arc;

use async_trait::async_trait;

pub use answers::{AnswerRepository, KeptAnswer, Once};
pub use audit::{AuditMark, DeviceEventPage, EventLog, EventMark, History, KeptAuditEvent, Span};
pub use changes::{DeviceChanges, Watch, Woken};
pub use clients::{ApiClientRepository, ClientFailureRepository, GrantError};
pub use devices::DeviceRepository;
pub use directory::{AddPartyError, DirectoryRepository, MerchantPage};
pub use error::{SaveError, SaveOnceError, StorageError};
pub use failures::ClaimFailureRepository;
pub use fleet::{CreateDevicesError, DevicePage, FleetRepository};
pub use imports::{
    Import, ImportRef, ImportRepository, ImportStaging, ImportState, NewImport, RowResult, RowVerdict, Seal, SealError,
    StagedRow, UndecidedRow, UnreadRow,
};
pub use in_memory::InMemoryStore;
pub use locations::{AddLocationError, LocationPage, LocationRepository};
pub use members::MemberRepository;
pub use reclaiming::{ReclaimBatch, Reclaimable, Reclaimed, ReclaimedBatch, Reclaiming};
pub use sessions::{Logout, SessionRepository, StartError};
pub use trail::{AuditTrail, KeptSeal, SEAL_WINDOW, Sealed, SealedEvent};

/// Whether the store can be reached.
#[async_trait]
pub trait StorageHealth: Send + Sync {
    /// Makes one round trip to the store, within the adapter's own time limit.
    ///
    /// # Errors
    /// [`StorageError::Unavailable`] when it does not answer.
    async fn ping(&self) -> Result<(), StorageError>;
}

/// The ports of one opened store.
#[derive(Clone)]
pub struct Storage {
    /// Devices and their codes, as terminals see them.
    pub devices: Arc<dyn DeviceRepository>,
    /// Devices, as those see them who manage them.
    pub fleet: Arc<dyn FleetRepository>,
    /// Where devices stand.
    pub locations: Arc<dyn LocationRepository>,
    /// What creating calls were answered.
    pub answers: Arc<dyn AnswerRepository>,
    /// Imports on their way in.
    pub staging: Arc<dyn ImportStaging>,
    /// Imports that are there.
    pub imports: Arc<dyn ImportRepository>,
    /// Word of devices that change.
    pub changes: Arc<dyn DeviceChanges>,
    /// The audit trail.
    pub events: Arc<dyn EventLog>,
    /// Seals of the administrative half of it, and its verification.
    pub trail: Arc<dyn AuditTrail>,
    /// The count of failed claims.
    pub failures: Arc<dyn ClaimFailureRepository>,
    /// Resellers and merchants.
    pub directory: Arc<dyn DirectoryRepository>,
    /// Who belongs where.
    pub members: Arc<dyn MemberRepository>,
    /// API clients.
    pub clients: Arc<dyn ApiClientRepository>,
    /// The count of wrong client secrets.
    pub client_failures: Arc<dyn ClientFailureRepository>,
    /// Initiated sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// Room that nobody needs any more.
    pub reclaiming: Arc<dyn Reclaiming>,
    /// Reachability.
    pub health: Arc<dyn StorageHealth>,
}

impl Storage {
    /// The ports of a store that implements them all.
    #[must_use]
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: DeviceRepository + EventLog + ClaimFailureRepository + StorageHealth + 'static,
        S: FleetRepository + LocationRepository + AnswerRepository + DeviceChanges,
        S: ImportStaging + ImportRepository,
        S: DirectoryRepository + MemberRepository + ApiClientRepository + ClientFailureRepository + SessionRepository,
        S: Reclaiming + AuditTrail,
    {
        Self {
            devices: store.clone(),
            fleet: store.clone(),
            locations: store.clone(),
            answers: store.clone(),
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
            reclaiming: store.clone(),
            health: store,
        }
    }
}
