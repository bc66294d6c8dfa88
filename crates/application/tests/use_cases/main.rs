//! Tests of the use cases with an in-memory store, a manual clock and scripted entropy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests"
)]

mod acts;
mod auditing;
mod claiming;
mod fleet;
mod imports;
mod provisioning;
mod retention;
mod sessions;
mod terminal;
mod waiting;

use std::sync::Arc;

use pos_application::audit::ExportAudit;
use pos_application::fleet::{NewDevice, ProvisionDevices, ReleaseDevice, VerifyDeviceChains};
use pos_application::pairing::{
    Bootstrap, CheckStatus, CheckedStatus, ClaimAttempt, ClaimDevice, ClaimDeviceError, IssuePairingCode, TerminalCall,
};
use pos_application::support::MerchantAuthorization;
use pos_application::tenancy::{ManageDirectory, ManageDirectoryError};
use pos_domain::device::{DeviceDetails, PairingCode, UserAgent};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, AuditContext, DeviceId, MerchantId, Name, RequestContext, TraceId, UserId};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::tenancy::AddPartyError;
use pos_port_storage::{InMemoryStore, Storage};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const TTL: Duration = Duration::seconds(300);
const MERCHANT: MerchantId = MerchantId(Uuid::from_u128(1));
const OTHER_MERCHANT: MerchantId = MerchantId(Uuid::from_u128(2));
const LIMIT: AttemptLimit = AttemptLimit { max_failures: 3, window: Duration::seconds(60) };

/// All use cases on one store, with one clock and one entropy script.
struct TestApp {
    clock: Arc<ManualClock>,
    storage: Storage,
    bootstrap: Bootstrap,
    issue: IssuePairingCode,
    status: CheckStatus,
    claim: ClaimDevice,
    provision: ProvisionDevices,
    release: ReleaseDevice,
    verify: VerifyDeviceChains,
    export: ExportAudit,
}

impl TestApp {
    fn new(script: impl IntoIterator<Item = u32>) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let time: Arc<dyn Clock> = clock.clone();
        let entropy: Arc<dyn Entropy> = Arc::new(ScriptedEntropy::new(script));
        let storage = Storage::of(Arc::new(InMemoryStore::default()));
        let devices = storage.devices.clone();
        Self {
            bootstrap: Bootstrap::new(devices.clone(), time.clone(), "1.3.5".parse().unwrap()),
            issue: IssuePairingCode::new(devices.clone(), time.clone(), entropy.clone(), TTL),
            status: CheckStatus::new(
                devices.clone(),
                storage.changes.clone(),
                time.clone(),
                std::time::Duration::from_secs(5),
            ),
            claim: ClaimDevice::new(devices.clone(), storage.failures.clone(), time.clone(), LIMIT),
            provision: ProvisionDevices::new(storage.fleet.clone(), time.clone(), entropy),
            release: ReleaseDevice::new(storage.fleet.clone(), time),
            verify: VerifyDeviceChains::new(storage.fleet.clone(), storage.events.clone()),
            export: ExportAudit::new(storage.events.clone(), storage.trail.clone()),
            clock,
            storage,
        }
    }

    /// Adds `MERCHANT` if it does not exist.
    async fn merchant(&self) {
        let directory = ManageDirectory::new(
            self.storage.directory.clone(),
            self.clock.clone(),
            Arc::new(ScriptedEntropy::new([])),
        );
        let shop = Name::parse("Corner Shop").unwrap();
        match directory.add_merchant(shop, None, Some(MERCHANT), AuditContext::operator()).await {
            Ok(_) | Err(ManageDirectoryError::NotAdded(AddPartyError::Taken)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Provisions a device for `MERCHANT`.
    async fn device(&self, id: &str) -> TerminalCall {
        self.merchant().await;
        let call = call(id);
        let new = NewDevice { id: Some(call.device_id.clone()), details: DeviceDetails::default() };
        self.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await.unwrap();
        call
    }

    async fn code(&self, call: &TerminalCall) -> String {
        self.issue.execute(call).await.unwrap().code.as_str().to_owned()
    }

    async fn claim(&self, by: &Claimant, code: &str) -> Result<DeviceId, ClaimDeviceError> {
        self.claim.execute(by, &attempt(code)).await
    }

    /// Claims without an effective limit.
    async fn unlimited_claim(&self, by: &Claimant, attempt: ClaimAttempt) -> Result<DeviceId, ClaimDeviceError> {
        let limit = AttemptLimit { max_failures: 100, ..LIMIT };
        let (devices, failures) = (self.storage.devices.clone(), self.storage.failures.clone());
        ClaimDevice::new(devices, failures, self.clock.clone(), limit).execute(by, &attempt).await
    }

    async fn checked(&self, call: &TerminalCall) -> CheckedStatus {
        self.status.execute(call).await.unwrap()
    }
}

fn call(id: &str) -> TerminalCall {
    TerminalCall {
        device_id: DeviceId::parse(id).unwrap(),
        agent: UserAgent::parse("Viopay-POS/1.4.2 (Android 12; PAX-A920)").unwrap(),
        context: from(1),
    }
}

/// Context of a request from the address with this number, and with this trace id.
fn from(number: u8) -> RequestContext {
    let client_ip = Some(std::net::Ipv4Addr::new(198, 51, 100, number).into());
    RequestContext { client_ip, trace_id: TraceId::from_bits(number.into()) }
}

fn attempt(code: &str) -> ClaimAttempt {
    ClaimAttempt { code: PairingCode::from_typed(code).ok(), device_id: None, context: from(2) }
}

fn user(merchant_id: MerchantId, name: &str) -> Claimant {
    Claimant { merchant_id, user_id: UserId::parse(name).unwrap() }
}
