//! Concurrent calls of two replicas on one database.

use std::collections::BTreeSet;

use pos_domain::device::{Device, DeviceDetails, PairingCode};
use pos_domain::pairing::{RefusedClaim, RefusedClaimReason};
use pos_domain::shared::Claimant;
use pos_domain::shared::{
    AttemptLimit, AuditContext, DeviceId, Fingerprint, IdempotencyKey, MerchantId, Party, RequestContext, Scope, UserId,
};
use pos_port_storage::Storage;
use pos_port_storage::fleet::{CreateDevicesError, DevicePage};
use pos_port_storage::shared::{IdempotencyRecord, SaveError};
use pos_tests::stores;
use time::{Duration, OffsetDateTime};
use tokio::task::JoinSet;

const CALLS: u32 = 40;

fn claimant() -> Claimant {
    let merchant_id = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Claimant { merchant_id, user_id: UserId::parse("anna").unwrap() }
}

/// Runs many calls at once, every second one on the other replica.
async fn on_both_replicas<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    replicas: &[Storage; 2],
    call: impl Fn(Storage, u32) -> F,
) -> Vec<T> {
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        calls.spawn(call(replicas[(number % 2) as usize].clone(), number));
    }
    calls.join_all().await
}

async fn assert_replicas_agree(replicas: [Storage; 2]) {
    let limit = AttemptLimit { max_failures: 10, window: Duration::minutes(5) };
    let now = OffsetDateTime::UNIX_EPOCH;
    let counts = on_both_replicas(&replicas, |storage, _| async move {
        let reason = RefusedClaimReason::NotFound;
        let refused =
            RefusedClaim { by: claimant(), context: RequestContext::default(), at: now, device_id: None, reason };
        storage.failures.record(&refused, &limit).await.unwrap().merchant.unwrap().failures
    });
    assert_eq!(counts.await.into_iter().collect::<BTreeSet<_>>(), (1..=CALLS).collect());

    let new = Device::provision(
        DeviceId::from_bits(1),
        claimant().merchant_id,
        DeviceDetails::default(),
        AuditContext::operator(),
        now,
    );
    pos_tests::users::add_merchant(&replicas[0], claimant().merchant_id).await;
    replicas[0].fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let device = replicas[1].devices.find(new.device().id()).await.unwrap().unwrap();
    let idempotency = on_both_replicas(&replicas, |storage, number| {
        let code = PairingCode::from_bits(number);
        let step =
            device.clone().issue_pairing_code(code, Duration::minutes(5), RequestContext::default(), now).unwrap();
        async move { storage.devices.save(&step).await }
    });
    let idempotency = idempotency.await;
    assert_eq!(idempotency.iter().filter(|answer| answer.is_ok()).count(), 1, "{idempotency:?}");
    let conflicts = idempotency.iter().filter(|answer| matches!(answer, Err(SaveError::Conflict))).count();
    assert_eq!(conflicts, CALLS as usize - 1, "{idempotency:?}");
    assert_one_key_creates_once(&replicas, now).await;
}

/// Of calls with the same idempotency key on two replicas one creates, and the others get its stored response.
async fn assert_one_key_creates_once(replicas: &[Storage; 2], now: OffsetDateTime) {
    let merchant = claimant().merchant_id;
    let idempotency = on_both_replicas(replicas, |storage, number| {
        let record = IdempotencyRecord {
            party: Party::Merchant(merchant),
            key: IdempotencyKey::parse("key").unwrap(),
            fingerprint: Fingerprint::of(&[]),
            answer: number.to_string(),
            at: now,
            expires_at: now + Duration::HOUR,
        };
        let id = DeviceId::from_bits(100 + number);
        let new = Device::provision(id, merchant, DeviceDetails::default(), AuditContext::operator(), now);
        async move { (number, storage.fleet.create(Scope::Of(record.party), &[new], Some(&record)).await) }
    });
    let (created, replayed): (Vec<_>, Vec<_>) = idempotency.await.into_iter().partition(|(_, answer)| answer.is_ok());
    let [(creator, _)] = created[..] else { panic!("{} created", created.len()) };
    for (_, answer) in replayed {
        let Err(CreateDevicesError::Answered(stored)) = answer else { panic!("{answer:?}") };
        assert_eq!(stored.answer, creator.to_string());
    }
    let page = DevicePage { after: Some(DeviceId::from_bits(1)), ..DevicePage::first(Scope::Operator, 100) };
    let devices = replicas[0].fleet.list(&page).await.unwrap();
    assert_eq!(
        devices.iter().map(|device| device.id().clone()).collect::<Vec<_>>(),
        [DeviceId::from_bits(100 + creator)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_on_postgres_agree() {
    let (one, database) = stores::postgres().await;
    let other = stores::open(database.url().parse().unwrap()).await;
    assert_replicas_agree([one, other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn replicas_through_pgbouncer_agree() {
    let store = stores::TestStore::pgbouncer().await;
    let other = store.reopened().await;
    assert_replicas_agree([store.opened().storage.clone(), other.storage]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_on_sqlite_agree() {
    let (one, folder) = stores::sqlite().await;
    let other = stores::open(stores::sqlite_url(&folder)).await;
    assert_replicas_agree([one, other]).await;
}
