//! Two programs on one database agree, as two callers in one program do.

use std::collections::BTreeSet;

use pos_domain::{
    Act, CallContext, ClaimLimit, Claimant, Device, DeviceDetails, DeviceId, Fingerprint, IdempotencyKey, MerchantId,
    PairingCode, Party, RefusedClaim, RefusedClaimReason, Scope, UserId,
};
use pos_port_storage::{CreateDevicesError, DevicePage, Once, SaveError, Storage};
use pos_tests::stores;
use time::{Duration, OffsetDateTime};
use tokio::task::JoinSet;

const CALLS: u32 = 40;

fn claimant() -> Claimant {
    let merchant_id = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Claimant { merchant_id, user_id: UserId::parse("anna").unwrap() }
}

/// Lets each replica make every second of many calls, all at once.
async fn divided<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    replicas: &[Storage; 2],
    call: impl Fn(Storage, u32) -> F,
) -> Vec<T> {
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        calls.spawn(call(replicas[(number % 2) as usize].clone(), number));
    }
    calls.join_all().await
}

async fn agree(replicas: [Storage; 2]) {
    let limit = ClaimLimit { max_failures: 10, window: Duration::minutes(5) };
    let now = OffsetDateTime::UNIX_EPOCH;
    let counts = divided(&replicas, |storage, _| async move {
        let reason = RefusedClaimReason::NotFound;
        let refused =
            RefusedClaim { by: claimant(), context: CallContext::default(), at: now, device_id: None, reason };
        storage.failures.record(&refused, &limit).await.unwrap().merchant.unwrap().failures
    });
    assert_eq!(counts.await.into_iter().collect::<BTreeSet<_>>(), (1..=CALLS).collect());

    let new = Device::provision(
        DeviceId::from_bits(1),
        claimant().merchant_id,
        DeviceDetails::default(),
        Act::operator(),
        now,
    );
    pos_tests::people::add_merchant(&replicas[0], claimant().merchant_id).await;
    replicas[0].fleet.create(Scope::Operator, std::slice::from_ref(&new), None).await.unwrap();
    let device = replicas[1].devices.find(new.device().id()).await.unwrap().unwrap();
    let answers = divided(&replicas, |storage, number| {
        let code = PairingCode::from_bits(number);
        let step = device.clone().issue_pairing_code(code, Duration::minutes(5), CallContext::default(), now).unwrap();
        async move { storage.devices.save(&step).await }
    });
    let answers = answers.await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    let conflicts = answers.iter().filter(|answer| matches!(answer, Err(SaveError::Conflict))).count();
    assert_eq!(conflicts, CALLS as usize - 1, "{answers:?}");
    one_key_creates_once(&replicas, now).await;
}

/// Of calls with one key on two replicas one creates, and the others are told its answer.
async fn one_key_creates_once(replicas: &[Storage; 2], now: OffsetDateTime) {
    let merchant = claimant().merchant_id;
    let answers = divided(replicas, |storage, number| {
        let once = Once {
            party: Party::Merchant(merchant),
            key: IdempotencyKey::parse("key").unwrap(),
            fingerprint: Fingerprint::of(&[]),
            answer: number.to_string(),
            at: now,
            keep_until: now + Duration::HOUR,
        };
        let id = DeviceId::from_bits(100 + number);
        let new = Device::provision(id, merchant, DeviceDetails::default(), Act::operator(), now);
        async move { (number, storage.fleet.create(Scope::Of(once.party), &[new], Some(&once)).await) }
    });
    let (created, told): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(|(_, answer)| answer.is_ok());
    let [(creator, _)] = created[..] else { panic!("{} created", created.len()) };
    for (_, answer) in told {
        let Err(CreateDevicesError::Answered(kept)) = answer else { panic!("{answer:?}") };
        assert_eq!(kept.answer, creator.to_string());
    }
    let page = DevicePage { after: Some(DeviceId::from_bits(1)), ..DevicePage::first(Scope::Operator, 100) };
    let devices = replicas[0].fleet.list(&page).await.unwrap();
    assert_eq!(
        devices.iter().map(|device| device.id().clone()).collect::<Vec<_>>(),
        [DeviceId::from_bits(100 + creator)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    let (one, database) = stores::postgres().await;
    let other = stores::open(database.url().parse().unwrap()).await;
    agree([one, other]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_pgbouncer() {
    let store = stores::TestStore::pgbouncer().await;
    let other = store.reopened().await;
    agree([store.opened().storage.clone(), other.storage]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    let (one, folder) = stores::sqlite().await;
    let other = stores::open(stores::sqlite_url(&folder)).await;
    agree([one, other]).await;
}
