//! Construction of every use case from its ports and rules.
//!
//! The constructors of the use cases are private to the crate: the server, its commands and the tests take them from
//! [`UseCases::new`].

use std::sync::Arc;

use pos_domain::device::AppVersion;
use pos_domain::shared::AttemptLimit;
use pos_domain::tenancy::ClientApp;
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::{ClientTokens, LogoutVerifier, TokenVerifier};
use pos_port_storage::Storage;
use time::Duration;

use crate::audit::{AppendCheckpoints, ExportAudit, PurgeExpired, Retention, VerifyTrail};
use crate::fleet::{
    DecommissionDevice, DeviceQueries, ImportDevices, ImportFiles, ImportLimits, ImportStores, ProvisionDevices,
    ReleaseDevice, TransferDevice, UpdateDevice, VerifyDeviceChains,
};
use crate::pairing::{Bootstrap, CheckStatus, ClaimDevice, IssuePairingCode};
use crate::support::Idempotency;
use crate::tenancy::{
    ClientStores, CloseSession, CurrentSession, Hosts, InitiateSession, ManageClients, ManageDirectory,
    ManageLocations, ManageMembers, ManageMerchants, StartClientSession,
};

/// Ports that use cases work through.
#[derive(Clone)]
pub struct Ports {
    /// The store.
    pub storage: Storage,
    /// The identity provider.
    pub identity: IdentityPorts,
    /// Formats of import files.
    pub import_files: Arc<dyn ImportFiles>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Ports of the identity provider. [`pos_port_identity::NoProvider`] stands in where there is none, as at the command
/// line.
#[derive(Clone)]
pub struct IdentityPorts {
    /// Verifies bearer tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Verifies logout tokens.
    pub logouts: Arc<dyn LogoutVerifier>,
    /// Obtains tokens for API clients.
    pub client_tokens: Arc<dyn ClientTokens>,
}

/// Limits and durations that operators may set.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Lifetime of a pairing code.
    pub code_ttl: Duration,
    /// Oldest app version that bootstrap reports as supported.
    pub min_supported_version: AppVersion,
    /// Interval at which a held status request reads the device without a notification.
    pub wait_recheck: std::time::Duration,
    /// Failed claims per merchant and per user.
    pub claim_limit: AttemptLimit,
    /// Wrong client secrets per address.
    pub client_limit: AttemptLimit,
    /// Longest lifetime of a session.
    pub session_lifetime: Duration,
    /// Applications and channels by host name.
    pub hosts: Hosts,
    /// Application and channel of API clients.
    pub machine_app: ClientApp,
    /// Retention of responses to idempotent requests.
    pub idempotency_retention: Duration,
    /// Bounds on an import.
    pub imports: ImportLimits,
    /// Retention of expired rows.
    pub retention: Retention,
    /// Most rows that one purge transaction deletes.
    pub purge_batch: u32,
}

/// Every use case.
pub struct UseCases {
    /// Calls of terminals, and the claim.
    pub pairing: PairingUseCases,
    /// Sessions of users and API clients.
    pub sessions: SessionUseCases,
    /// Devices of merchants and resellers.
    pub fleet: FleetUseCases,
    /// Resellers, merchants, locations, members and API clients.
    pub tenancy: TenancyUseCases,
    /// The audit trail and retention.
    pub audit: AuditUseCases,
    /// Idempotency of creating requests and claims.
    pub idempotency: Idempotency,
}

/// Use cases of the context `pairing`.
pub struct PairingUseCases {
    /// `POST /pos/bootstrap`.
    pub bootstrap: Bootstrap,
    /// `POST /pos/pairing-code`.
    pub issue_pairing_code: IssuePairingCode,
    /// `GET /pos/status`.
    pub check_status: CheckStatus,
    /// `POST /pos/claim`.
    pub claim_device: ClaimDevice,
}

/// Use cases of sessions.
pub struct SessionUseCases {
    /// `POST /session/initiate`.
    pub initiate: InitiateSession,
    /// `POST /client/session`, `POST /auth/token`.
    pub client: StartClientSession,
    /// The session of a request.
    pub current: CurrentSession,
    /// `POST /session/end`, `POST /session/backchannel-logout`.
    pub close: CloseSession,
}

/// Use cases of the context `fleet`.
pub struct FleetUseCases {
    /// `POST …/devices`, `device add`.
    pub provision: ProvisionDevices,
    /// `GET …/devices`, `…/devices/{device_id}` and its events.
    pub queries: DeviceQueries,
    /// `PATCH …/devices/{device_id}`, `device edit`.
    pub update: UpdateDevice,
    /// `POST …/release`, `device release`.
    pub release: ReleaseDevice,
    /// `POST …/decommission`, `device decommission`.
    pub decommission: DecommissionDevice,
    /// `POST …/transfer`, `device transfer`.
    pub transfer: TransferDevice,
    /// `POST /reseller/devices/import`, `device import`.
    pub import: ImportDevices,
    /// `audit verify`: the hash chains of devices.
    pub verify_chains: VerifyDeviceChains,
}

/// Use cases of the context `tenancy`, sessions aside.
pub struct TenancyUseCases {
    /// `…/locations`, `location …`.
    pub locations: ManageLocations,
    /// `/reseller/merchants`, `merchant rename`.
    pub merchants: ManageMerchants,
    /// `reseller add`, `merchant add`.
    pub directory: ManageDirectory,
    /// `member …`.
    pub members: ManageMembers,
    /// `client …`.
    pub clients: ManageClients,
}

/// Use cases of the context `audit`.
pub struct AuditUseCases {
    /// `audit verify`: administrative events, and the rows that they explain.
    pub verify_trail: VerifyTrail,
    /// Appends checkpoints to the audit trail.
    pub append_checkpoints: AppendCheckpoints,
    /// `audit export`.
    pub export: ExportAudit,
    /// `purge`, and the server's schedule.
    pub purge: PurgeExpired,
}

impl UseCases {
    /// Builds every use case. Does no I/O.
    #[must_use]
    pub fn new(ports: &Ports, rules: &Rules) -> Self {
        let storage = &ports.storage;
        Self {
            pairing: PairingUseCases::new(ports, rules),
            sessions: SessionUseCases::new(ports, rules),
            fleet: FleetUseCases::new(ports, rules),
            tenancy: TenancyUseCases::new(ports),
            audit: AuditUseCases::new(ports, rules),
            idempotency: Idempotency::new(storage.idempotency.clone(), rules.idempotency_retention),
        }
    }
}

impl PairingUseCases {
    fn new(ports: &Ports, rules: &Rules) -> Self {
        let Ports { storage, clock, entropy, .. } = ports;
        let devices = &storage.devices;
        Self {
            bootstrap: Bootstrap::new(devices.clone(), clock.clone(), rules.min_supported_version.clone()),
            issue_pairing_code: IssuePairingCode::new(devices.clone(), clock.clone(), entropy.clone(), rules.code_ttl),
            check_status: CheckStatus::new(devices.clone(), storage.changes.clone(), clock.clone(), rules.wait_recheck),
            claim_device: ClaimDevice::new(devices.clone(), storage.failures.clone(), clock.clone(), rules.claim_limit),
        }
    }
}

impl SessionUseCases {
    fn new(ports: &Ports, rules: &Rules) -> Self {
        let Ports { storage, identity, clock, .. } = ports;
        let stores = ClientStores {
            clients: storage.clients.clone(),
            failures: storage.client_failures.clone(),
            directory: storage.directory.clone(),
            sessions: storage.sessions.clone(),
        };
        Self {
            initiate: InitiateSession::new(
                storage.directory.clone(),
                storage.members.clone(),
                storage.sessions.clone(),
                clock.clone(),
                rules.hosts.clone(),
                rules.session_lifetime,
            ),
            client: StartClientSession::new(
                stores,
                identity.client_tokens.clone(),
                identity.verifier.clone(),
                clock.clone(),
                rules.machine_app.clone(),
                rules.client_limit,
                rules.session_lifetime,
            ),
            current: CurrentSession::new(storage.sessions.clone(), clock.clone()),
            close: CloseSession::new(
                storage.sessions.clone(),
                identity.logouts.clone(),
                clock.clone(),
                rules.session_lifetime,
            ),
        }
    }
}

impl FleetUseCases {
    fn new(ports: &Ports, rules: &Rules) -> Self {
        let Ports { storage, clock, entropy, .. } = ports;
        let fleet = &storage.fleet;
        let stores = ImportStores {
            staging: storage.staging.clone(),
            imports: storage.imports.clone(),
            directory: storage.directory.clone(),
            locations: storage.locations.clone(),
            trail: storage.trail.clone(),
        };
        Self {
            provision: ProvisionDevices::new(fleet.clone(), clock.clone(), entropy.clone()),
            queries: DeviceQueries::new(fleet.clone(), storage.events.clone()),
            update: UpdateDevice::new(fleet.clone(), clock.clone()),
            release: ReleaseDevice::new(fleet.clone(), clock.clone()),
            decommission: DecommissionDevice::new(fleet.clone(), clock.clone()),
            transfer: TransferDevice::new(fleet.clone(), storage.directory.clone(), clock.clone()),
            import: ImportDevices::new(
                stores,
                ports.import_files.clone(),
                clock.clone(),
                entropy.clone(),
                rules.imports,
            ),
            verify_chains: VerifyDeviceChains::new(fleet.clone(), storage.events.clone(), clock.clone()),
        }
    }
}

impl TenancyUseCases {
    fn new(ports: &Ports) -> Self {
        let Ports { storage, clock, entropy, .. } = ports;
        Self {
            locations: ManageLocations::new(storage.locations.clone(), clock.clone(), entropy.clone()),
            merchants: ManageMerchants::new(storage.directory.clone(), clock.clone(), entropy.clone()),
            directory: ManageDirectory::new(storage.directory.clone(), clock.clone(), entropy.clone()),
            members: ManageMembers::new(storage.members.clone(), clock.clone(), entropy.clone()),
            clients: ManageClients::new(storage.clients.clone(), clock.clone(), entropy.clone()),
        }
    }
}

impl AuditUseCases {
    fn new(ports: &Ports, rules: &Rules) -> Self {
        let Ports { storage, clock, .. } = ports;
        Self {
            verify_trail: VerifyTrail::new(storage.trail.clone(), clock.clone()),
            append_checkpoints: AppendCheckpoints::new(storage.trail.clone(), clock.clone()),
            export: ExportAudit::new(storage.events.clone(), storage.trail.clone()),
            purge: PurgeExpired::new(storage.retention.clone(), clock.clone(), rules.retention, rules.purge_batch),
        }
    }
}
