//! Tests of idempotency keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn a_response_is_encoded_once_with_and_without_a_key() {
    static ENCODED: AtomicUsize = AtomicUsize::new(0);
    let encode = |location: &Location| Ok(format!("{} {}", ENCODED.fetch_add(1, Ordering::Relaxed), location.name));
    let app = fleet([]).await;
    let own = own(Role::Operator);
    let add = async |encoder| app.tenancy.locations.add_encoded(&own, &named("x"), encoder).await.unwrap();
    let keyed = || app.idempotency.keyed(IdempotencyKey::parse("k").unwrap(), Fingerprint::of(&[b"a"]), encode);
    assert_eq!(add(ResponseEncoder::without_key(encode)).await, EncodedResponse::New("0 x".to_owned()));
    assert_eq!(add(keyed()).await, EncodedResponse::New("1 x".to_owned()));
    assert_eq!(add(keyed()).await, EncodedResponse::Replayed("1 x".to_owned()));
    assert_eq!(ENCODED.load(Ordering::Relaxed), 2, "a replay encodes nothing");
}

#[tokio::test]
async fn a_key_creates_once_until_it_expires() {
    let app = fleet([]).await;
    let own = own(Role::Operator);
    let first =
        new_body(app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"a")).await.unwrap());
    let again = app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"a")).await.unwrap();
    assert_eq!(again, EncodedResponse::Replayed(first));
    let other = app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"b")).await;
    assert!(matches!(other, Err(FleetError::KeyReused)), "{other:?}");
    let elsewhere = app.tenancy.locations.add_encoded(&own, &named("x"), keyed(&app, "k", b"c")).await;
    assert!(matches!(elsewhere, Err(FleetError::KeyReused)), "all kinds of requests share the keys: {elsewhere:?}");
    let parent = parent(&app, Role::Operator, MERCHANT).await;
    new_body(app.fleet.provision.one_encoded(&parent, &new_device(None), keyed(&app, "k", b"b")).await.unwrap());
    app.clock.advance(KEEP - Duration::microseconds(1));
    let late = app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"a")).await.unwrap();
    assert!(matches!(late, EncodedResponse::Replayed(_)), "{late:?}");
    app.clock.advance(Duration::microseconds(1));
    new_body(app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"b")).await.unwrap());
}

#[tokio::test]
async fn a_refused_request_stores_no_key() {
    let app = fleet([]).await;
    let id = device(&app, 1).await;
    let own = own(Role::Operator);
    let refused = app.fleet.provision.one_encoded(&own, &new_device(Some(id)), keyed(&app, "k", b"a")).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    new_body(app.fleet.provision.one_encoded(&own, &new_device(None), keyed(&app, "k", b"b")).await.unwrap());
    let call = keyed::<Merchant>(&app, "m", b"a");
    let refused = app.tenancy.merchants.add_encoded(&reseller(RESELLER, Role::Operator), &named("x"), call).await;
    assert!(matches!(refused, Err(FleetError::Forbidden)), "{refused:?}");
    let admin = reseller(RESELLER, Role::Admin);
    let made = new_body(app.tenancy.merchants.add_encoded(&admin, &named("x"), keyed(&app, "m", b"b")).await.unwrap());
    let again = app.tenancy.merchants.add_encoded(&admin, &named("x"), keyed(&app, "m", b"b")).await.unwrap();
    assert_eq!(again, EncodedResponse::Replayed(made));
}
