//! App for tests: every use case on one store, and the tenants, members and devices that a test needs.

use std::sync::Arc;

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::device::{DeviceDetails, DeviceEvent, DeviceEventKind};
use pos_domain::shared::{
    ApiClientId, AuditContext, DeviceId, GrantId, MerchantId, Name, Party, ResellerId, Role, UserId,
};
use pos_domain::tenancy::{ApiClient, Member, SecretHash};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::shared::TimeRange;
use pos_port_storage::tenancy::AddPartyError;
use pos_port_storage::{InMemoryStore, Storage};

use crate::fleet::{NewDevice, VerifiedChains};
use crate::support::{Idempotency, MerchantAuthorization, random};
use crate::tenancy::ManageDirectoryError;
use crate::test_support::START;
use crate::{AuditUseCases, FleetUseCases, PairingUseCases, Ports, Rules, SessionUseCases, TenancyUseCases, UseCases};

/// Every use case on one store, without an identity provider.
pub struct TestApp<C = ManualClock> {
    /// The clock.
    pub clock: Arc<C>,
    /// The store.
    pub storage: Storage,
    /// Calls of terminals, and the claim.
    pub pairing: PairingUseCases,
    /// Sessions.
    pub sessions: SessionUseCases,
    /// Devices.
    pub fleet: FleetUseCases,
    /// Resellers, merchants, locations, members and API clients.
    pub tenancy: TenancyUseCases,
    /// The audit trail and retention.
    pub audit: AuditUseCases,
    /// Idempotency.
    pub idempotency: Idempotency,
    entropy: Arc<dyn Entropy>,
}

impl TestApp {
    /// An app on an in-memory store, with a clock at [`START`] and the rules of tests.
    #[must_use]
    pub fn in_memory(script: impl IntoIterator<Item = u32>) -> Self {
        Self::scripted(Storage::of(Arc::new(InMemoryStore::default())), script, &Rules::for_tests())
    }

    /// An app on this store with a clock at [`START`]. The script has its first random words.
    #[must_use]
    pub fn scripted(storage: Storage, script: impl IntoIterator<Item = u32>, rules: &Rules) -> Self {
        Self::new(storage, Arc::new(ManualClock::at(START)), Arc::new(ScriptedEntropy::new(script)), rules)
    }
}

impl<C: Clock + 'static> TestApp<C> {
    /// An app on this store, with this clock, randomness and rules.
    #[must_use]
    pub fn new(storage: Storage, clock: Arc<C>, entropy: Arc<dyn Entropy>, rules: &Rules) -> Self {
        let ports = Ports::for_tests(storage, clock.clone(), entropy);
        let UseCases { pairing, sessions, fleet, tenancy, audit, idempotency } = UseCases::new(&ports, rules);
        let Ports { storage, entropy, .. } = ports;
        Self { clock, storage, pairing, sessions, fleet, tenancy, audit, idempotency, entropy }
    }

    /// Adds a reseller.
    pub async fn add_reseller(&self, id: ResellerId, name: &str) {
        self.tenancy.directory.add_reseller(named(name), Some(id), AuditContext::operator()).await.unwrap();
    }

    /// Adds a merchant, optionally of a reseller.
    pub async fn add_merchant(&self, id: MerchantId, name: &str, reseller: Option<ResellerId>) {
        let by = AuditContext::operator();
        self.tenancy.directory.add_merchant(named(name), reseller, Some(id), by).await.unwrap();
    }

    /// Adds a merchant without a reseller, unless it exists.
    pub async fn ensure_merchant(&self, id: MerchantId) {
        let by = AuditContext::operator();
        match self.tenancy.directory.add_merchant(named("Corner Shop"), None, Some(id), by).await {
            Ok(_) | Err(ManageDirectoryError::NotAdded(AddPartyError::Taken)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes a user a member of a party, or changes the role.
    pub async fn add_member(&self, user: &str, party: Party, role: Role) {
        let member = Member { user_id: UserId::parse(user).unwrap(), party, role };
        self.tenancy.members.add(member, AuditContext::operator()).await.unwrap();
    }

    /// Adds an API client with this secret. [`ManageClients`](crate::tenancy::ManageClients) would generate one.
    pub async fn add_client(&self, id: &str, secret: &str, party: Party, role: Role) -> ApiClient {
        let (id, grant) = (ApiClientId::parse(id).unwrap(), GrantId(random::uuid(&*self.entropy)));
        let client = ApiClient { id, grant, party, role, created_at: self.clock.now(), revoked_at: None };
        let subject = Subject::Client(client.id.clone());
        let event = AuditEvent::of(AuditKind::ClientAdded, subject, AuditContext::operator(), client.created_at);
        self.storage.clients.add(&client, &SecretHash::of_secret(secret), &event).await.unwrap();
        client
    }

    /// Provisions a device of a merchant, as an operator does.
    pub async fn provision(&self, merchant: MerchantId, new: &NewDevice) -> DeviceId {
        let operator = MerchantAuthorization::operator(merchant);
        self.fleet.provision.one(&operator, new).await.unwrap().id().clone()
    }

    /// Verifies the hash chains of the first thousand devices.
    pub async fn verified_chains(&self) -> VerifiedChains {
        self.fleet.verify_chains.page(None).await.unwrap()
    }

    /// The events of a device.
    pub async fn device_events(&self, id: &DeviceId) -> Vec<DeviceEvent> {
        self.storage.events.events_of(&DeviceHistory::whole(id)).await.unwrap()
    }

    /// The kinds of the events of a device.
    pub async fn event_kinds(&self, id: &DeviceId) -> Vec<DeviceEventKind> {
        self.device_events(id).await.iter().map(|event| event.kind).collect()
    }

    /// The events of the administrative audit trail, a thousand at most.
    pub async fn audit_events(&self) -> Vec<AuditEvent> {
        audit_events(&self.storage).await
    }

    /// The events of a kind in the administrative audit trail.
    pub async fn audit_events_of(&self, kind: AuditKind) -> Vec<AuditEvent> {
        self.audit_events().await.into_iter().filter(|event| event.kind == kind).collect()
    }
}

/// The events of the administrative audit trail of a store, a thousand at most.
pub async fn audit_events(storage: &Storage) -> Vec<AuditEvent> {
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let stored = storage.trail.audit_by_time(&all, None).await.unwrap();
    stored.into_iter().map(|stored| stored.event).collect()
}

/// A new device, with the given or a generated id.
#[must_use]
pub fn new_device(id: Option<DeviceId>) -> NewDevice {
    NewDevice { id, details: DeviceDetails::default() }
}

/// A name.
#[must_use]
pub fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}
