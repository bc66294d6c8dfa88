//! The use cases on fakes: fast, and to the instant.

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
mod reclaiming;
mod sessions;
mod terminal;
mod waiting;

use std::sync::Arc;

use pos_application::{
    Bootstrap, CheckStatus, CheckedStatus, ClaimAttempt, ClaimDevice, ClaimDeviceError, ExportAudit, IssuePairingCode,
    ManageDirectory, ManageDirectoryError, Mandate, NewDevice, ProvisionDevices, ReleaseDevice, TerminalCall,
    VerifyAudit,
};
use pos_domain::{
    Act, CallContext, ClaimLimit, Claimant, DeviceDetails, DeviceId, MerchantId, Name, TraceId, UserAgent, UserId,
};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::{AddPartyError, InMemoryStore, Storage};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

const START: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);
const TTL: Duration = Duration::seconds(300);
const MERCHANT: MerchantId = MerchantId(Uuid::from_u128(1));
const OTHER_MERCHANT: MerchantId = MerchantId(Uuid::from_u128(2));
const LIMIT: ClaimLimit = ClaimLimit { max_failures: 3, window: Duration::seconds(60) };

/// All use cases around one store, one clock and one script of chance.
struct House {
    clock: Arc<ManualClock>,
    storage: Storage,
    bootstrap: Bootstrap,
    issue: IssuePairingCode,
    status: CheckStatus,
    claim: ClaimDevice,
    provision: ProvisionDevices,
    release: ReleaseDevice,
    verify: VerifyAudit,
    export: ExportAudit,
}

impl House {
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
            verify: VerifyAudit::new(storage.fleet.clone(), storage.events.clone()),
            export: ExportAudit::new(storage.events.clone()),
            clock,
            storage,
        }
    }

    /// Adds `MERCHANT`, unless it is there.
    async fn merchant(&self) {
        let directory = ManageDirectory::new(
            self.storage.directory.clone(),
            self.clock.clone(),
            Arc::new(ScriptedEntropy::new([])),
        );
        let shop = Name::parse("Corner Shop").unwrap();
        match directory.add_merchant(shop, None, Some(MERCHANT), Act::operator()).await {
            Ok(_) | Err(ManageDirectoryError::NotAdded(AddPartyError::Taken)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Provisions a device for `MERCHANT`.
    async fn device(&self, id: &str) -> TerminalCall {
        self.merchant().await;
        let call = call(id);
        let new =
            NewDevice { merchant_id: MERCHANT, id: Some(call.device_id.clone()), details: DeviceDetails::default() };
        self.provision.one(&Mandate::operator(), &new, None).await.unwrap();
        call
    }

    async fn code(&self, call: &TerminalCall) -> String {
        self.issue.execute(call).await.unwrap().code.as_str().to_owned()
    }

    async fn claim(&self, by: &Claimant, code: &str) -> Result<DeviceId, ClaimDeviceError> {
        self.claim.execute(by, &attempt(code)).await
    }

    /// A claim that no limit stops.
    async fn unlimited_claim(&self, by: &Claimant, attempt: ClaimAttempt) -> Result<DeviceId, ClaimDeviceError> {
        let limit = ClaimLimit { max_failures: 100, ..LIMIT };
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

/// A call from the address of this number, with this trace id.
fn from(number: u8) -> CallContext {
    let origin = Some(std::net::Ipv4Addr::new(198, 51, 100, number).into());
    CallContext { origin, trace_id: TraceId::from_bits(number.into()) }
}

fn attempt(code: &str) -> ClaimAttempt {
    ClaimAttempt { typed_code: code.to_owned(), device_id: None, context: from(2) }
}

fn user(merchant_id: MerchantId, name: &str) -> Claimant {
    Claimant { merchant_id, user_id: UserId::parse(name).unwrap() }
}
