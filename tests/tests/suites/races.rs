//! Many callers at once, on every store: whatever the order, the outcome is that of some queue.

mod fleet;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use pos_application::{
    CheckStatus, ClaimAttempt, ClaimDevice, ClaimDeviceError, FleetError, IssuePairingCode, IssuePairingCodeError,
    Mandate, NewDevice, ProvisionDevices, ReleaseDevice, StateRefusal, TerminalCall, VerifyAudit,
};
use pos_domain::{
    AuditKind, CallContext, ClaimLimit, Claimant, DeviceDetails, DeviceId, DeviceStatus, IssueRefusal, PairingCode,
    PairingCodeStatus, ReleaseRefusal, UserAgent, UserId,
};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_storage::{History, Span, Storage};
use pos_tests::server::{MERCHANT, START};
use time::Duration;

const CALLERS: usize = 64;
const TTL: Duration = Duration::seconds(300);

/// The use cases of one replica.
struct Replica {
    clock: Arc<ManualClock>,
    storage: Storage,
    issue: IssuePairingCode,
    status: CheckStatus,
    claim: ClaimDevice,
    release: ReleaseDevice,
    provision: ProvisionDevices,
}

impl Replica {
    fn new(storage: Storage, script: impl IntoIterator<Item = u32>, max_failures: u32) -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(START));
        let time: Arc<dyn Clock> = clock.clone();
        let chance: Arc<dyn Entropy> = Arc::new(ScriptedEntropy::new(script));
        let (devices, failures) = (storage.devices.clone(), storage.failures.clone());
        let limit = ClaimLimit { max_failures, window: TTL };
        Arc::new(Self {
            issue: IssuePairingCode::new(devices.clone(), time.clone(), chance.clone(), TTL),
            status: CheckStatus::new(
                devices.clone(),
                storage.changes.clone(),
                time.clone(),
                std::time::Duration::from_secs(5),
            ),
            claim: ClaimDevice::new(devices, failures, time.clone(), limit),
            release: ReleaseDevice::new(storage.fleet.clone(), time.clone()),
            provision: ProvisionDevices::new(storage.fleet.clone(), time, chance),
            clock,
            storage,
        })
    }

    async fn device(&self, number: u32) -> TerminalCall {
        pos_tests::people::add_merchant(&self.storage, MERCHANT).await;
        let device_id = DeviceId::from_bits(number);
        self.provision.one(&Mandate::operator(), &named(number), None).await.unwrap();
        TerminalCall {
            device_id,
            agent: UserAgent::parse("Viopay-POS/1.4.2").unwrap(),
            context: CallContext::default(),
        }
    }

    async fn code(&self, call: &TerminalCall) -> PairingCode {
        self.issue.execute(call).await.unwrap().code
    }

    async fn claim(&self, user: usize, code: PairingCode) -> Result<DeviceId, ClaimDeviceError> {
        let user_id = UserId::parse(&format!("user-{user}")).unwrap();
        let attempt =
            ClaimAttempt { typed_code: code.as_str().to_owned(), device_id: None, context: CallContext::default() };
        self.claim.execute(&Claimant { merchant_id: MERCHANT, user_id }, &attempt).await
    }
}

/// The device of this number, of the merchant whose devices are raced for.
fn named(number: u32) -> NewDevice {
    NewDevice { merchant_id: MERCHANT, id: Some(DeviceId::from_bits(number)), details: DeviceDetails::default() }
}

/// Runs `call` for every caller at once, each on a task of its own.
async fn at_once<T, F>(count: usize, call: impl Fn(usize) -> F) -> Vec<T>
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
    let replica = Replica::new(storage, [], u32::MAX);
    let call = replica.device(1).await;
    let code = replica.code(&call).await;
    let answers = at_once(CALLERS, |user| {
        let replica = replica.clone();
        async move { replica.claim(user, code).await }
    })
    .await;
    let used = answers.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::CodeUsed))).count();
    let claimed = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((claimed, used), (1, CALLERS - 1));
    let events = replica.storage.events.events_of(&History::whole(&call.device_id)).await.unwrap();
    assert_eq!(events.len(), 3, "provisioned, issued, claimed: one of each");
    let all = Span { limit: 1_000, ..Span::default() };
    let refused = replica.storage.events.audit_by_time(&all, None).await.unwrap();
    let refused = refused.iter().filter(|kept| kept.event.kind == AuditKind::ClaimRefused).count();
    assert_eq!(refused, 0, "who is late with its own merchant's code has not guessed");
}

async fn one_device_has_one_active_code(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    let call = Arc::new(replica.device(1).await);
    let codes = at_once(CALLERS, |_| {
        let (replica, call) = (replica.clone(), call.clone());
        async move { replica.code(&call).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), CALLERS, "every call gives a new code");
    let mut expired = 0;
    let device = replica.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let current = device.record().pairing_code.unwrap();
    for code in codes.iter().filter(|code| **code != current) {
        assert!(matches!(replica.claim(0, *code).await, Err(ClaimDeviceError::CodeExpired)));
        expired += 1;
    }
    assert_eq!(expired, CALLERS - 1, "all but the last are retired");
    assert_eq!(device.version(), 1 + CALLERS as u64, "every answered code was saved, none twice");
    assert!(replica.claim(0, current).await.is_ok());
}

async fn a_verification_finds_no_fault_while_devices_change(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    let calls = Arc::new(join_all((1..=8).map(|number| replica.device(number))).await);
    let verify = Arc::new(VerifyAudit::new(replica.storage.fleet.clone(), replica.storage.events.clone()));
    let found = at_once(16, |caller| {
        let (replica, calls, verify) = (replica.clone(), calls.clone(), verify.clone());
        async move {
            let mut faults = 0;
            for _ in 0..8 {
                if caller < 8 {
                    replica.code(&calls[caller]).await;
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

async fn the_same_symbols_are_given_to_one_device(storage: Storage) {
    let replica = Replica::new(storage, std::iter::repeat_n(7, CALLERS / 2), u32::MAX);
    let calls = join_all((1..=8).map(|number| replica.device(number))).await;
    let calls = Arc::new(calls);
    let codes = at_once(8, |caller| {
        let (replica, calls) = (replica.clone(), calls.clone());
        async move { replica.code(&calls[caller]).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 8);
}

async fn a_claim_races_a_new_code(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    for round in 1..=16 {
        let call = replica.device(round).await;
        let code = replica.code(&call).await;
        let (claimed, issued) = {
            let (one, other, call) = (replica.clone(), replica.clone(), call.clone());
            let claim = tokio::spawn(async move { one.claim(0, code).await });
            let issue = tokio::spawn(async move { other.issue.execute(&call).await });
            (claim.await.unwrap(), issue.await.unwrap())
        };
        let status = replica.status.execute(&call).await.unwrap();
        match (claimed, issued) {
            (Ok(_), Err(IssuePairingCodeError::Refused(IssueRefusal::AlreadyClaimed))) => {
                assert_eq!(status.device_status, DeviceStatus::Claimed);
            }
            (Err(ClaimDeviceError::CodeExpired), Ok(_)) => {
                assert_eq!(status.pairing_code_status, PairingCodeStatus::Pending);
            }
            other => panic!("round {round}: no queue gives {other:?}"),
        }
    }
}

async fn a_claim_races_expiry(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    let call = replica.device(1).await;
    let code = replica.code(&call).await;
    let answers = at_once(CALLERS, |caller| {
        let replica = replica.clone();
        async move {
            if caller == CALLERS / 2 {
                replica.clock.set(START + TTL);
            }
            replica.claim(caller, code).await
        }
    })
    .await;
    let claimed = answers.iter().filter(|answer| answer.is_ok()).count();
    let status = replica.status.execute(&call).await.unwrap();
    let device = replica.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    match claimed {
        0 => assert_eq!(status.pairing_code_status, PairingCodeStatus::Expired),
        1 => assert!(device.record().claimed_at.is_some_and(|at| at < START + TTL), "claimed in time"),
        more => panic!("claimed {more} times"),
    }
    let told = |answer: &Result<_, ClaimDeviceError>| {
        matches!(answer, Ok(_) | Err(ClaimDeviceError::CodeExpired | ClaimDeviceError::CodeUsed))
    };
    assert!(answers.iter().all(told));
}

async fn a_claimed_device_is_released_once(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    let call = replica.device(1).await;
    let code = replica.code(&call).await;
    replica.claim(0, code).await.unwrap();
    let answers = at_once(CALLERS, |_| {
        let (replica, id) = (replica.clone(), call.device_id.clone());
        async move { replica.release.execute(&Mandate::operator(), &id).await }
    })
    .await;
    let released = answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = |answer: &&Result<_, _>| {
        matches!(answer, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed))))
    };
    assert_eq!((released, answers.iter().filter(refused).count()), (1, CALLERS - 1));
}

async fn a_claimed_device_is_activated_once(storage: Storage) {
    let replica = Replica::new(storage, [], u32::MAX);
    let call = replica.device(1).await;
    let code = replica.code(&call).await;
    replica.claim(0, code).await.unwrap();
    let device = replica.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let answers = at_once(CALLERS, |_| {
        let (devices, step) =
            (replica.storage.devices.clone(), device.clone().activate(CallContext::default(), START).unwrap());
        async move { devices.save(&step).await.is_ok() }
    })
    .await;
    assert_eq!(answers.iter().filter(|saved| **saved).count(), 1);
}

async fn a_device_is_provisioned_once(storage: Storage) {
    pos_tests::people::add_merchant(&storage, MERCHANT).await;
    let replica = Replica::new(storage, [], u32::MAX);
    let answers = at_once(CALLERS, |_| {
        let replica = replica.clone();
        async move { replica.provision.one(&Mandate::operator(), &named(1), None).await.is_ok() }
    })
    .await;
    assert_eq!(answers.iter().filter(|provisioned| **provisioned).count(), 1);
}

async fn a_burst_of_guesses_is_told_no_more_than_the_limit(storage: Storage) {
    let replica = Replica::new(storage, [], 10);
    let nobodys = PairingCode::from_bits(12_345);
    let answers = at_once(CALLERS, |_| {
        let replica = replica.clone();
        async move { replica.claim(1, nobodys).await }
    })
    .await;
    let told = answers.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::CodeNotFound))).count();
    let blocked = answers.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::TooManyFailures(_)))).count();
    assert_eq!((told, blocked), (10, CALLERS - 10));
}

/// Makes a test of a case on each store.
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
    the_same_symbols_are_given_to_one_device,
    a_claim_races_a_new_code,
    a_claim_races_expiry,
    a_claimed_device_is_released_once,
    a_claimed_device_is_activated_once,
    a_device_is_provisioned_once,
    a_burst_of_guesses_is_told_no_more_than_the_limit,
);
