//! Tests of idempotency keys.

use super::*;

#[tokio::test]
async fn a_key_creates_once_until_it_expires() {
    let fleet = FleetFixture::new([]).await;
    let own = own(Role::Operator);
    let first = created(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap());
    let answer = format!("{first:?}");
    let again = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap();
    assert_eq!(again, Created::Replayed(answer));
    let other = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await;
    assert!(matches!(other, Err(FleetError::KeyReused)), "{other:?}");
    let elsewhere = fleet.locations.add(&own, MERCHANT, &name("x"), Some(fleet.keyed("k", b"c"))).await;
    assert!(matches!(elsewhere, Err(FleetError::KeyReused)), "all kinds of requests share the keys: {elsewhere:?}");
    let parent = fleet.parent(Role::Operator, MERCHANT).await;
    created(fleet.provision.one(&parent, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
    fleet.clock.advance(KEEP - Duration::microseconds(1));
    let late = fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap();
    assert!(matches!(late, Created::Replayed(_)), "{late:?}");
    fleet.clock.advance(Duration::microseconds(1));
    created(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
}

#[tokio::test]
async fn a_refused_request_stores_no_key() {
    let fleet = FleetFixture::new([]).await;
    let id = fleet.device(1).await;
    let own = own(Role::Operator);
    let refused = fleet.provision.one(&own, &new(Some(id)), Some(fleet.keyed("k", b"a"))).await;
    assert!(matches!(refused, Err(FleetError::Taken)), "{refused:?}");
    created(fleet.provision.one(&own, &new(None), Some(fleet.keyed("k", b"b"))).await.unwrap());
    let keyed = fleet.keyed::<Merchant>("m", b"a");
    let refused = fleet.merchants.add(&reseller(RESELLER, Role::Operator), &name("x"), Some(keyed)).await;
    assert!(matches!(refused, Err(FleetError::Forbidden)), "{refused:?}");
    let admin = reseller(RESELLER, Role::Admin);
    let made = created(fleet.merchants.add(&admin, &name("x"), Some(fleet.keyed("m", b"b"))).await.unwrap());
    let again = fleet.merchants.add(&admin, &name("x"), Some(fleet.keyed("m", b"b"))).await.unwrap();
    assert_eq!(again, Created::Replayed(format!("{made:?}")));
}
