//! Tests of provisioning and releasing by an operator.

use pos_application::fleet::NewDevice;
use pos_application::support::{Authorization, FleetError, MerchantAuthorization};
use pos_application::test_support::MERCHANT;
use pos_domain::device::DeviceDetails;
use pos_domain::shared::{AuditContext, DeviceId};

use crate::app;

#[tokio::test]
async fn an_id_in_use_is_refused() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let new = NewDevice { id: Some(call.device_id), details: DeviceDetails::default() };
    let refused = app.fleet.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await;
    assert!(matches!(refused, Err(FleetError::Taken)));
}

#[tokio::test]
async fn a_device_of_an_unknown_merchant_is_refused() {
    let app = app([1]);
    let new = NewDevice { id: None, details: DeviceDetails::default() };
    let named = app.fleet.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await;
    assert!(matches!(named, Err(FleetError::UnknownMerchant)), "{named:?}");
    let some = app.fleet.provision.some(2, MERCHANT, &AuditContext::operator()).await;
    assert!(matches!(some, Err(FleetError::UnknownMerchant)), "{some:?}");
}

#[tokio::test]
async fn generated_ids_are_distinct_and_not_in_use() {
    let app = app([1, 2, 2, 3]);
    app.terminal("POS-00000003").await;
    let ids = app.fleet.provision.some(4, MERCHANT, &AuditContext::operator()).await.unwrap();
    assert_eq!(ids, [DeviceId::from_bits(1), DeviceId::from_bits(2)]);
    for id in &ids {
        assert_eq!(app.storage.devices.find(id).await.unwrap().unwrap().merchant_id(), MERCHANT);
    }
}

#[tokio::test]
async fn an_unknown_device_cannot_be_released() {
    let app = app([]);
    let refused = app.fleet.release.execute(&Authorization::operator(), &DeviceId::from_bits(1)).await;
    assert!(matches!(refused, Err(FleetError::UnknownDevice)));
}
