//! Concurrent calls on every store: each outcome equals that of some serial order.

mod fleet;

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use pos_application::Rules;
use pos_application::pairing::{ClaimDeviceError, IssuePairingCodeError, TerminalCall};
use pos_application::support::{Authorization, FleetError, MerchantAuthorization, StateRefusal};
use pos_application::test_support::{MERCHANT, START, TestApp, claimant, new_device};
use pos_domain::audit::AuditKind;
use pos_domain::device::{DeviceStatus, IssueRefusal, PairingCode, PairingCodeStatus, ReleaseRefusal};
use pos_domain::shared::{AttemptLimit, DeviceId, RequestContext};
use pos_port_storage::Storage;
use time::Duration;

const CALLERS: usize = 64;
const TTL: Duration = Duration::seconds(300);

/// The use cases of one replica.
fn replica(storage: Storage, script: impl IntoIterator<Item = u32>, max_failures: u32) -> Arc<TestApp> {
    let claim_limit = AttemptLimit { max_failures, window: TTL };
    let rules = Rules { code_ttl: TTL, claim_limit, idempotency_retention: TTL, ..Rules::for_tests() };
    Arc::new(TestApp::scripted(storage, script, &rules))
}

/// Provisions the device with this number and returns a call of its terminal.
async fn terminal(app: &TestApp, number: u32) -> TerminalCall {
    app.terminal(DeviceId::from_bits(number).as_str()).await
}

async fn code(app: &TestApp, call: &TerminalCall) -> PairingCode {
    app.pairing.issue_pairing_code.execute(call).await.unwrap().code
}

async fn claim(app: &TestApp, user: usize, code: PairingCode) -> Result<DeviceId, ClaimDeviceError> {
    app.claim(&claimant(MERCHANT, &format!("user-{user}")), code.as_str()).await
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
    let app = replica(storage, [], u32::MAX);
    let call = terminal(&app, 1).await;
    let code = code(&app, &call).await;
    let idempotency = concurrently(CALLERS, |user| {
        let app = app.clone();
        async move { claim(&app, user, code).await }
    })
    .await;
    let used = idempotency.iter().filter(|answer| matches!(answer, Err(ClaimDeviceError::CodeUsed))).count();
    let claimed = idempotency.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((claimed, used), (1, CALLERS - 1));
    let events = app.device_events(&call.device_id).await;
    assert_eq!(events.len(), 3, "provisioned, issued, claimed: one of each");
    let refused = app.audit_events_of(AuditKind::ClaimRefused).await;
    assert_eq!(refused.len(), 0, "a late claim with the own merchant's code is no guess");
}

async fn one_device_has_one_active_code(storage: Storage) {
    let app = replica(storage, [], u32::MAX);
    let call = Arc::new(terminal(&app, 1).await);
    let codes = concurrently(CALLERS, |_| {
        let (app, call) = (app.clone(), call.clone());
        async move { code(&app, &call).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), CALLERS, "every call issues a new code");
    let mut expired = 0;
    let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let current = device.record().pairing_code.unwrap();
    for code in codes.iter().filter(|code| **code != current) {
        assert!(matches!(claim(&app, 0, *code).await, Err(ClaimDeviceError::CodeExpired)));
        expired += 1;
    }
    assert_eq!(expired, CALLERS - 1, "all codes but the last are superseded");
    assert_eq!(device.version(), 1 + CALLERS as u64, "every issued code was saved once");
    assert!(claim(&app, 0, current).await.is_ok());
}

async fn a_verification_finds_no_fault_while_devices_change(storage: Storage) {
    let app = replica(storage, [], u32::MAX);
    let calls = Arc::new(join_all((1..=8).map(|number| terminal(&app, number))).await);
    let found = concurrently(16, |caller| {
        let (app, calls) = (app.clone(), calls.clone());
        async move {
            let mut faults = 0;
            for _ in 0..8 {
                if caller < 8 {
                    code(&app, &calls[caller]).await;
                } else {
                    faults += app.verified_chains().await.faults.len();
                }
            }
            faults
        }
    });
    assert_eq!(found.await.into_iter().sum::<usize>(), 0);
    assert_eq!(app.verified_chains().await.events, 8 * 9);
}

async fn a_random_code_is_issued_to_one_device_only(storage: Storage) {
    let app = replica(storage, std::iter::repeat_n(7, CALLERS / 2), u32::MAX);
    let calls = join_all((1..=8).map(|number| terminal(&app, number))).await;
    let calls = Arc::new(calls);
    let codes = concurrently(8, |caller| {
        let (app, calls) = (app.clone(), calls.clone());
        async move { code(&app, &calls[caller]).await }
    })
    .await;
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 8);
}

async fn a_claim_races_a_new_code(storage: Storage) {
    let app = replica(storage, [], u32::MAX);
    for round in 1..=16 {
        let call = terminal(&app, round).await;
        let code = code(&app, &call).await;
        let (claimed, issued) = {
            let (one, other, call) = (app.clone(), app.clone(), call.clone());
            let claim = tokio::spawn(async move { claim(&one, 0, code).await });
            let issue = tokio::spawn(async move { other.pairing.issue_pairing_code.execute(&call).await });
            (claim.await.unwrap(), issue.await.unwrap())
        };
        let status = app.status(&call).await;
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
    let app = replica(storage, [], u32::MAX);
    let call = terminal(&app, 1).await;
    let code = code(&app, &call).await;
    let idempotency = concurrently(CALLERS, |caller| {
        let app = app.clone();
        async move {
            if caller == CALLERS / 2 {
                app.clock.set(START + TTL);
            }
            claim(&app, caller, code).await
        }
    })
    .await;
    let claimed = idempotency.iter().filter(|answer| answer.is_ok()).count();
    let status = app.status(&call).await;
    let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
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
    let app = replica(storage, [], u32::MAX);
    let call = terminal(&app, 1).await;
    let code = code(&app, &call).await;
    claim(&app, 0, code).await.unwrap();
    let idempotency = concurrently(CALLERS, |_| {
        let (app, id) = (app.clone(), call.device_id.clone());
        async move { app.fleet.release.execute(&Authorization::operator(), &id).await }
    })
    .await;
    let released = idempotency.iter().filter(|answer| answer.is_ok()).count();
    let refused = |answer: &&Result<_, _>| {
        matches!(answer, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed))))
    };
    assert_eq!((released, idempotency.iter().filter(refused).count()), (1, CALLERS - 1));
}

async fn a_claimed_device_is_activated_once(storage: Storage) {
    let app = replica(storage, [], u32::MAX);
    let call = terminal(&app, 1).await;
    let code = code(&app, &call).await;
    claim(&app, 0, code).await.unwrap();
    let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let idempotency = concurrently(CALLERS, |_| {
        let (devices, step) =
            (app.storage.devices.clone(), device.clone().activate(RequestContext::default(), START).unwrap());
        async move { devices.save(&step).await.is_ok() }
    })
    .await;
    assert_eq!(idempotency.iter().filter(|saved| **saved).count(), 1);
}

async fn a_device_is_provisioned_once(storage: Storage) {
    let app = replica(storage, [], u32::MAX);
    app.ensure_merchant(MERCHANT).await;
    let idempotency = concurrently(CALLERS, |_| {
        let app = app.clone();
        async move {
            let operator = MerchantAuthorization::operator(MERCHANT);
            app.fleet.provision.one(&operator, &new_device(Some(DeviceId::from_bits(1)))).await.is_ok()
        }
    })
    .await;
    assert_eq!(idempotency.iter().filter(|provisioned| **provisioned).count(), 1);
}

async fn a_burst_of_guesses_gets_no_more_answers_than_the_limit(storage: Storage) {
    let app = replica(storage, [], 10);
    let unknown_code = PairingCode::from_bits(12_345);
    let idempotency = concurrently(CALLERS, |_| {
        let app = app.clone();
        async move { claim(&app, 1, unknown_code).await }
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
