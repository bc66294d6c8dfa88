//! Concurrent calls on every store: each outcome equals that of some serial order.

mod fleet;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use pos_application::fleet::{NewDevice, ProvisionDevices, ReleaseDevice, VerifyDeviceChains};
use pos_application::pairing::{
    CheckStatus, ClaimAttempt, ClaimDevice, ClaimDeviceError, IssuePairingCode, IssuePairingCodeError, TerminalCall,
};
use pos_application::support::{Authorization, FleetError, MerchantAuthorization, StateRefusal};
use pos_domain::audit::AuditKind;
use pos_domain::device::{
    DeviceDetails, DeviceStatus, IssueRefusal, PairingCode, PairingCodeStatus, ReleaseRefusal, UserAgent,
};
use pos_domain::shared::Claimant;
use pos_domain::shared::{AttemptLimit, DeviceId, RequestContext, UserId};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::Storage;
use pos_port_storage::device::DeviceHistory;
use pos_port_storage::shared::TimeRange;
use pos_tests::server::{MERCHANT, START};
use time::Duration;

const CALLERS: usize = 64;
const TTL: Duration = Duration::seconds(300);

/// The pairing use cases of one replica.
struct PairingFixture {
    clock: Arc<ManualClock>,
    storage: Storage,
    issue: IssuePairingCode,
    status: CheckStatus,
    claim: ClaimDevice,
    release: ReleaseDevice,
    provision: ProvisionDevices,
}

impl PairingFixture {
    fn new(storage: Storage, script: impl IntoIterator<Item = u32>, max_failures: u32) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let time: Arc<dyn Clock> = clock.clone();
        let entropy: Arc<dyn Entropy> = Arc::new(ScriptedEntropy::new(script));
        let (devices, failures) = (storage.devices.clone(), storage.failures.clone());
        let limit = AttemptLimit { max_failures, window: TTL };
        Arc::new(Self {
            issue: IssuePairingCode::new(devices.clone(), time.clone(), entropy.clone(), TTL),
            status: CheckStatus::new(
                devices.clone(),
                storage.changes.clone(),
                time.clone(),
                std::time::Duration::from_secs(5),
            ),
            claim: ClaimDevice::new(devices, failures, time.clone(), limit),
            release: ReleaseDevice::new(storage.fleet.clone(), time.clone()),
            provision: ProvisionDevices::new(storage.fleet.clone(), time, entropy),
            clock,
            storage,
        })
    }

    async fn device(&self, number: u32) -> TerminalCall {
        pos_tests::users::add_merchant(&self.storage, MERCHANT).await;
        let device_id = DeviceId::from_bits(number);
        self.provision.one(&MerchantAuthorization::operator(MERCHANT), &new_device(number)).await.unwrap();
        TerminalCall {
            device_id,
            agent: UserAgent::parse("Viopay-POS/1.4.2").unwrap(),
            context: RequestContext::default(),
        }
    }

    async fn code(&self, call: &TerminalCall) -> PairingCode {
        self.issue.execute(call).await.unwrap().code
    }

    async fn claim(&self, user: usize, code: PairingCode) -> Result<DeviceId, ClaimDeviceError> {
        let user_id = UserId::parse(&format!("user-{user}")).unwrap();
        let attempt = ClaimAttempt { code: Some(code), device_id: None, context: RequestContext::default() };
        self.claim.execute(&Claimant { merchant_id: MERCHANT, user_id }, &attempt).await
    }
}

/// A new device of [`MERCHANT`] with the id of this number.
fn new_device(number: u32) -> NewDevice {
    NewDevice { id: Some(DeviceId::from_bits(number)), details: DeviceDetails::default() }
}

/// Runs `call` for every caller at once, each on its own task.
async fn concurrently<T, F>(count: usize, call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(tokio::sync::Barrier::new(count));
    let tasks = (0..count).map(|caller| {
        let (barrier, call) = (barrier.clone(), call(caller));
        tokio::spawn(async move {
            barrier.wait().await;
            call.await
        })
    });
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

async fn one_code_is_claimed_once(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let call = fixture.device(1).await;
    let code = fixture.code(&call).await;
    let idempotency = concurrently(CALLERS, |user| {
        let fixture = fixture.clone();
        async move { fixture.claim(user, code).await }
    })
    .await;
    let used = idempotency.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::CodeUsed))).count();
    let claimed = idempotency.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((claimed, used), (1, CALLERS - 1));
    let events = fixture.storage.events.events_of(&DeviceHistory::whole(&call.device_id)).await.unwrap();
    assert_eq!(events.len(), 3, "provisioned, issued, claimed: one of each");
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let refused = fixture.storage.trail.audit_by_time(&all, None).await.unwrap();
    let refused = refused.iter().filter(|stored| stored.event.kind == AuditKind::ClaimRefused).count();
    assert_eq!(refused, 0, "a late claim with the own merchant's code is no guess");
}

async fn one_device_has_one_active_code(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let call = Arc::new(fixture.device(1).await);
    let codes = concurrently(CALLERS, |_| {
        let (fixture, call) = (fixture.clone(), call.clone());
        async move { fixture.code(&call).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), CALLERS, "every call issues a new code");
    let mut expired = 0;
    let device = fixture.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let current = device.record().pairing_code.unwrap();
    for code in codes.iter().filter(|code| **code != current) {
        assert!(matches!(fixture.claim(0, *code).await, Err(ClaimDeviceError::CodeExpired)));
        expired += 1;
    }
    assert_eq!(expired, CALLERS - 1, "all codes but the last are superseded");
    assert_eq!(device.version(), 1 + CALLERS as u64, "every issued code was saved once");
    assert!(fixture.claim(0, current).await.is_ok());
}

async fn a_verification_finds_no_fault_while_devices_change(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let calls = Arc::new(join_all((1..=8).map(|number| fixture.device(number))).await);
    let verify = Arc::new(VerifyDeviceChains::new(fixture.storage.fleet.clone(), fixture.storage.events.clone()));
    let found = concurrently(16, |caller| {
        let (fixture, calls, verify) = (fixture.clone(), calls.clone(), verify.clone());
        async move {
            let mut faults = 0;
            for _ in 0..8 {
                if caller < 8 {
                    fixture.code(&calls[caller]).await;
                } else {
                    faults += verify.page(None).await.unwrap().faults.len();
                }
            }
            faults
        }
    });
    assert_eq!(found.await.into_iter().sum::<usize>(), 0);
    assert_eq!(verify.page(None).await.unwrap().events, 8 * 9);
}

async fn a_random_code_is_issued_to_one_device_only(storage: Storage) {
    let fixture = PairingFixture::new(storage, std::iter::repeat_n(7, CALLERS / 2), u32::MAX);
    let calls = join_all((1..=8).map(|number| fixture.device(number))).await;
    let calls = Arc::new(calls);
    let codes = concurrently(8, |caller| {
        let (fixture, calls) = (fixture.clone(), calls.clone());
        async move { fixture.code(&calls[caller]).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 8);
}

async fn a_claim_races_a_new_code(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    for round in 1..=16 {
        let call = fixture.device(round).await;
        let code = fixture.code(&call).await;
        let (claimed, issued) = {
            let (one, other, call) = (fixture.clone(), fixture.clone(), call.clone());
            let claim = tokio::spawn(async move { one.claim(0, code).await });
            let issue = tokio::spawn(async move { other.issue.execute(&call).await });
            (claim.await.unwrap(), issue.await.unwrap())
        };
        let status = fixture.status.execute(&call).await.unwrap();
        match (claimed, issued) {
            (Ok(_), Err(IssuePairingCodeError::Refused(IssueRefusal::AlreadyClaimed))) => {
                assert_eq!(status.device_status, DeviceStatus::Claimed);
            }
            (Err(ClaimDeviceError::CodeExpired), Ok(_)) => {
                assert_eq!(status.pairing_code_status, PairingCodeStatus::Pending);
            }
            other => panic!("round {round}: no serial order gives {other:?}"),
        }
    }
}

async fn a_claim_races_expiry(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let call = fixture.device(1).await;
    let code = fixture.code(&call).await;
    let idempotency = concurrently(CALLERS, |caller| {
        let fixture = fixture.clone();
        async move {
            if caller == CALLERS / 2 {
                fixture.clock.set(START + TTL);
            }
            fixture.claim(caller, code).await
        }
    })
    .await;
    let claimed = idempotency.iter().filter(|answer| answer.is_ok()).count();
    let status = fixture.status.execute(&call).await.unwrap();
    let device = fixture.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    match claimed {
        0 => assert_eq!(status.pairing_code_status, PairingCodeStatus::Expired),
        1 => assert!(device.record().claimed_at.is_some_and(|at| at < START + TTL), "claimed in time"),
        more => panic!("claimed {more} times"),
    }
    let expected = |answer: &Result<_, ClaimDeviceError>| {
        matches!(answer, Ok(_) | Err(ClaimDeviceError::CodeExpired | ClaimDeviceError::CodeUsed))
    };
    assert!(idempotency.iter().all(expected));
}

async fn a_claimed_device_is_released_once(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let call = fixture.device(1).await;
    let code = fixture.code(&call).await;
    fixture.claim(0, code).await.unwrap();
    let idempotency = concurrently(CALLERS, |_| {
        let (fixture, id) = (fixture.clone(), call.device_id.clone());
        async move { fixture.release.execute(&Authorization::operator(), &id).await }
    })
    .await;
    let released = idempotency.iter().filter(|answer| answer.is_ok()).count();
    let refused = |answer: &&Result<_, _>| {
        matches!(answer, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed))))
    };
    assert_eq!((released, idempotency.iter().filter(refused).count()), (1, CALLERS - 1));
}

async fn a_claimed_device_is_activated_once(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let call = fixture.device(1).await;
    let code = fixture.code(&call).await;
    fixture.claim(0, code).await.unwrap();
    let device = fixture.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let idempotency = concurrently(CALLERS, |_| {
        let (devices, step) =
            (fixture.storage.devices.clone(), device.clone().activate(RequestContext::default(), START).unwrap());
        async move { devices.save(&step).await.is_ok() }
    })
    .await;
    assert_eq!(idempotency.iter().filter(|saved| **saved).count(), 1);
}

async fn a_device_is_provisioned_once(storage: Storage) {
    pos_tests::users::add_merchant(&storage, MERCHANT).await;
    let fixture = PairingFixture::new(storage, [], u32::MAX);
    let idempotency = concurrently(CALLERS, |_| {
        let fixture = fixture.clone();
        async move { fixture.provision.one(&MerchantAuthorization::operator(MERCHANT), &new_device(1)).await.is_ok() }
    })
    .await;
    assert_eq!(idempotency.iter().filter(|provisioned| **provisioned).count(), 1);
}

async fn a_burst_of_guesses_gets_no_more_answers_than_the_limit(storage: Storage) {
    let fixture = PairingFixture::new(storage, [], 10);
    let unknown_code = PairingCode::from_bits(12_345);
    let idempotency = concurrently(CALLERS, |_| {
        let fixture = fixture.clone();
        async move { fixture.claim(1, unknown_code).await }
    })
    .await;
    let not_found = idempotency.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::CodeNotFound))).count();
    let blocked =
        idempotency.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::TooManyFailures(_)))).count();
    assert_eq!((not_found, blocked), (10, CALLERS - 10));
}

/// Generates a test of each case on each store.
macro_rules! on_every_store {
    ($($case:ident),+ $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let store = std::sync::Arc::new(pos_port_storage::InMemoryStore::default());
                super::$case(pos_port_storage::Storage::of(store)).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::sqlite().await;
                super::$case(store.opened().storage.clone()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::postgres().await;
                super::$case(store.opened().storage.clone()).await;
            })+
        }
        mod pgbouncer {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $case() {
                let store = pos_tests::stores::TestStore::pgbouncer().await;
                super::$case(store.opened().storage.clone()).await;
            })+
        }
    };
}

use on_every_store;

on_every_store!(
    one_code_is_claimed_once,
    one_device_has_one_active_code,
    a_verification_finds_no_fault_while_devices_change,
    a_random_code_is_issued_to_one_device_only,
    a_claim_races_a_new_code,
    a_claim_races_expiry,
    a_claimed_device_is_released_once,
    a_claimed_device_is_activated_once,
    a_device_is_provisioned_once,
    a_burst_of_guesses_gets_no_more_answers_than_the_limit,
);
