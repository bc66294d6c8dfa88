//! Tests of idempotency keys.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

#[tokio::test]
async fn a_response_is_encoded_once_with_and_without_a_key() {
    static ENCODED: AtomicUsize = AtomicUsize::new(0);
    let encode = |location: &Location| Ok(format!("{} {}", ENCODED.fetch_add(1, Ordering::Relaxed), location.name));
    let fleet = FleetFixture::new([]).await;
    let own = own(Role::Operator);
    let add = async |encoder| fleet.locations.add_encoded(&own, &name("x"), encoder).await.unwrap();
    let keyed = || fleet.idempotency.keyed(IdempotencyKey::parse("k").unwrap(), Fingerprint::of(&[b"a"]), encode);
    assert_eq!(add(ResponseEncoder::without_key(encode)).await, EncodedResponse::New("0 x".to_owned()));
    assert_eq!(add(keyed()).await, EncodedResponse::New("1 x".to_owned()));
    assert_eq!(add(keyed()).await, EncodedResponse::Replayed("1 x".to_owned()));
    assert_eq!(ENCODED.load(Ordering::Relaxed), 2, "a replay encodes nothing");
}

#[tokio::test]
async fn a_key_creates_once_until_it_expires() {
    let fleet = FleetFixture::new([]).await;
    let own = own(Role::Operator);
    let first = new_body(fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"a")).await.unwrap());
    let again = fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"a")).await.unwrap();
    assert_eq!(again, EncodedResponse::Replayed(first));
    let other = fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"b")).await;
    assert!(matches!(other, Err(FleetError::KeyReused)), "{other:?}");
    let elsewhere = fleet.locations.add_encoded(&own, &name("x"), fleet.keyed("k", b"c")).await;
    assert!(matches!(elsewhere, Err(FleetError::KeyReused)), "all kinds of requests share the keys: {elsewhere:?}");
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    new_body(fleet.provision.one_encoded(&parent, &new(None), fleet.keyed("k", b"b")).await.unwrap());
    fleet.clock.advance(KEEP - Duration::microseconds(1));
    let late = fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"a")).await.unwrap();
    assert!(matches!(late, EncodedResponse::Replayed(_)), "{late:?}");
    fleet.clock.advance(Duration::microseconds(1));
    new_body(fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"b")).await.unwrap());
}

#[tokio::test]
async fn a_refused_request_stores_no_key() {
    let fleet = FleetFixture::new([]).await;
    let id = fleet.device(1).await;
    let own = own(Role::Operator);
    let refused = fleet.provision.one_encoded(&own, &new(Some(id)), fleet.keyed("k", b"a")).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    new_body(fleet.provision.one_encoded(&own, &new(None), fleet.keyed("k", b"b")).await.unwrap());
    let keyed = fleet.keyed::<Merchant>("m", b"a");
    let refused = fleet.merchants.add_encoded(&reseller(RESELLER, Role::Operator), &name("x"), keyed).await;
    assert!(matches!(refused, Err(FleetError::Forbidden)), "{refused:?}");
    let admin = reseller(RESELLER, Role::Admin);
    let made = new_body(fleet.merchants.add_encoded(&admin, &name("x"), fleet.keyed("m", b"b")).await.unwrap());
    let again = fleet.merchants.add_encoded(&admin, &name("x"), fleet.keyed("m", b"b")).await.unwrap();
    assert_eq!(again, EncodedResponse::Replayed(made));
}
