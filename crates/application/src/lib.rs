//! What the system does, one use case a file.
//!
//! A use case is handed typed values, loads one aggregate through a port, lets `pos-domain` decide, saves, and answers
//! with a value. It knows nothing of HTTP or SQL, and holds no state but its ports, so one value serves every request
//! at once.
//!
//! Races are settled by the store: a save whose device changed meanwhile is a conflict, and the use case starts again
//! from a fresh load. Every answer is therefore one that some order of the callers, one after the other, would have
//! given.

use pos_domain::{Device, DeviceStatus};

mod bootstrap;
mod check_status;
mod claim_device;
mod draw;
mod export_audit;
mod fleet;
mod import_devices;
mod issue_pairing_code;
mod reclaim;
mod seal_audit;
mod sighting;
mod tenancy;
mod verify_audit;
mod verify_trail;

pub use bootstrap::{Bootstrap, BootstrapError, Bootstrapped};
pub use check_status::{CheckStatus, CheckStatusError, CheckedStatus, StatusAnswer, WaitingStatus};
pub use claim_device::{ClaimAttempt, ClaimDevice, ClaimDeviceError};
pub use export_audit::{AuditEntry, AuditExport, ExportAudit};
pub use fleet::{
    AmendDevice, Answers, Created, DecommissionDevice, DetailsPatch, DeviceFilter, FleetError, KeyedCall,
    ManageLocations, ManageMerchants, Mandate, MoveDevice, NewDevice, NoAnswer, Page, ProvisionDevices, ReleaseDevice,
    StateRefusal, ViewDevices,
};
pub use import_devices::{
    ImportDevices, ImportError, ImportLimits, ImportOrder, ImportReport, ImportStores, ImportTotals, ReadRow, Received,
    Upload,
};
pub use issue_pairing_code::{IssuePairingCode, IssuePairingCodeError, IssuedPairingCode};
pub use reclaim::{Reclaim, ReclaimOutcome, ReclaimRound, ReclaimStep, Retention};
pub use seal_audit::SealAudit;
pub use sighting::TerminalCall;
pub use tenancy::{
    ClientSession, ClientStores, CloseSession, CurrentSession, Hosts, InitiateSession, InitiateSessionError,
    InitiatedSession, LogOutError, ManageClients, ManageClientsError, ManageDirectory, ManageDirectoryError,
    ManageMembers, ManageMembersError, NewSecret, NotActing, StartClientSession, StartClientSessionError,
};
pub use verify_audit::{VerifiedChains, VerifyAudit, VerifyAuditError};
pub use verify_trail::{CheckpointFault, EventFault, FaultSink, TrailFault, VerifiedTrail, VerifyTrail};

/// How often a use case starts again after losing a race before it gives up. Every lost race is somebody else's
/// success on the same device, so only a storm on one device gets near it.
const MAX_ATTEMPTS: usize = 256;

/// To its terminal, a device that is out of use is one that was never provisioned.
fn in_use(found: Option<Device>) -> Option<Device> {
    found.filter(|device| device.status() != DeviceStatus::Decommissioned)
}
