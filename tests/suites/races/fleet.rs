//! Concurrent management of one device.

use std::sync::Arc;

use pos_application::fleet::DetailsPatch;
use pos_application::support::{Authorization, EncodedResponse, FleetError, MerchantAuthorization, StateRefusal};
use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, TestApp, named, new_device};
use pos_domain::device::{DecommissionRefusal, Device, DeviceEventKind, DeviceStatus, TransferRefusal};
use pos_domain::shared::{DeviceId, Fingerprint, IdempotencyKey, Party, RequestContext, Role, Scope, UserId};
use pos_domain::tenancy::Member;
use pos_port_storage::Storage;
use pos_port_storage::fleet::DevicePage;

use super::{CALLERS, concurrently, on_every_store};

/// The use cases of one replica. The first generated device id is 1.
fn replica(storage: Storage) -> Arc<TestApp> {
    super::replica(storage, [1], u32::MAX)
}

async fn device(app: &TestApp) -> DeviceId {
    for merchant in [MERCHANT, OTHER_MERCHANT] {
        app.ensure_merchant(merchant).await;
    }
    app.provision(MERCHANT, &new_device(None)).await
}

/// The kinds of a device's events, whose hash chain must be intact.
async fn kinds(app: &TestApp, id: &DeviceId) -> Vec<DeviceEventKind> {
    assert_eq!(app.verified_chains().await.faults, [], "the hash chain is intact");
    app.event_kinds(id).await
}

fn label_patch(text: &str) -> DetailsPatch {
    DetailsPatch { label: Some(Some(named(text))), location_id: None }
}

/// Number of successes. Panics unless every other call was refused with `refused`.
fn successes(idempotency: &[Result<Device, FleetError>], refused: StateRefusal) -> usize {
    let succeeded = |answer: &&Result<Device, FleetError>| match answer {
        Ok(_) => true,
        Err(FleetError::Refused(why)) if *why == refused => false,
        other => panic!("no serial order gives {other:?}"),
    };
    idempotency.iter().filter(succeeded).count()
}

async fn a_device_is_transferred_once(storage: Storage) {
    let app = replica(storage);
    let id = device(&app).await;
    let idempotency = concurrently(CALLERS, |_| {
        let (app, id) = (app.clone(), id.clone());
        async move { app.fleet.transfer.execute(&Authorization::operator(), &id, OTHER_MERCHANT).await }
    })
    .await;
    assert_eq!(successes(&idempotency, StateRefusal::Move(TransferRefusal::SameMerchant)), 1);
    assert_eq!(kinds(&app, &id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Transferred]);
}

async fn a_device_is_decommissioned_once(storage: Storage) {
    let app = replica(storage);
    let id = device(&app).await;
    let idempotency = concurrently(CALLERS, |_| {
        let (app, id) = (app.clone(), id.clone());
        async move { app.fleet.decommission.execute(&Authorization::operator(), &id).await }
    })
    .await;
    let again = StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned);
    assert_eq!(successes(&idempotency, again), 1);
    assert_eq!(kinds(&app, &id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Decommissioned]);
}

async fn equal_updates_leave_one_event_and_different_updates_one_each(storage: Storage) {
    let app = replica(storage);
    let id = device(&app).await;
    let update = async |distinct: bool| {
        concurrently(CALLERS, |caller| {
            let (app, id) = (app.clone(), id.clone());
            let label = if distinct { format!("Till {caller}") } else { "Till".to_owned() };
            async move { app.fleet.update.execute(&Authorization::operator(), &id, &label_patch(&label)).await }
        })
        .await
    };
    assert!(update(false).await.iter().all(Result::is_ok));
    assert_eq!(kinds(&app, &id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Updated]);
    assert!(update(true).await.iter().all(Result::is_ok));
    assert_eq!(kinds(&app, &id).await.len(), 2 + CALLERS);
}

/// A decommission wins over concurrent calls: no event follows it.
async fn no_event_follows_a_decommission(storage: Storage) {
    let app = replica(storage);
    let id = device(&app).await;
    concurrently(CALLERS, |caller| {
        let (app, id) = (app.clone(), id.clone());
        async move {
            let operator = Authorization::operator();
            if caller == CALLERS / 2 {
                app.fleet.decommission.execute(&operator, &id).await.unwrap();
            } else if caller % 2 == 0 {
                let patch = label_patch(&format!("Till {caller}"));
                app.fleet.update.execute(&operator, &id, &patch).await.ok();
            } else {
                app.fleet.transfer.execute(&operator, &id, OTHER_MERCHANT).await.ok();
            }
        }
    })
    .await;
    let kinds = kinds(&app, &id).await;
    let decommissions = kinds.iter().filter(|kind| **kind == DeviceEventKind::Decommissioned).count();
    assert_eq!((kinds.last(), decommissions), (Some(&DeviceEventKind::Decommissioned), 1), "{kinds:?}");
    let device = app.storage.devices.find(&id).await.unwrap().unwrap();
    assert_eq!((device.status(), device.version()), (DeviceStatus::Decommissioned, kinds.len() as u64));
}

async fn one_key_creates_one_device(storage: Storage) {
    let app = replica(storage);
    app.ensure_merchant(MERCHANT).await;
    let party = Party::Merchant(MERCHANT);
    let idempotency = concurrently(CALLERS, |caller| {
        let app = app.clone();
        async move {
            let user_id = UserId::parse(&format!("user-{caller}")).unwrap();
            let member = Member { user_id, party, role: Role::Operator };
            let authorization = MerchantAuthorization::of(&member, RequestContext::default()).unwrap();
            let new = new_device(None);
            let (key, fingerprint) = (IdempotencyKey::parse("key").unwrap(), Fingerprint::of(&[b"a device"]));
            let encoder = app.idempotency.keyed(key, fingerprint, |device: &Device| Ok(device.id().to_string()));
            app.fleet.provision.one_encoded(&authorization, &new, encoder).await.unwrap()
        }
    })
    .await;
    let created: Vec<_> = idempotency
        .iter()
        .filter_map(|answer| match answer {
            EncodedResponse::New(body) => Some(body),
            EncodedResponse::Replayed(_) => None,
        })
        .collect();
    assert_eq!(created.len(), 1, "one call created a device");
    let replayed =
        |answer: &&EncodedResponse| matches!(answer, EncodedResponse::Replayed(response) if response == created[0]);
    assert_eq!(idempotency.iter().filter(replayed).count(), CALLERS - 1, "all others got the stored response");
    let page = DevicePage::first(Scope::Operator, 100);
    assert_eq!(app.storage.fleet.list(&page).await.unwrap().len(), 1);
}

on_every_store!(
    a_device_is_transferred_once,
    a_device_is_decommissioned_once,
    equal_updates_leave_one_event_and_different_updates_one_each,
    no_event_follows_a_decommission,
    one_key_creates_one_device,
);
