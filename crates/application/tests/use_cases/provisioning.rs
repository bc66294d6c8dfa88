//! Tests of provisioning and releasing by an operator.

use pos_application::fleet::NewDevice;
use pos_application::support::{Authorization, FleetError, MerchantAuthorization};
use pos_domain::device::DeviceDetails;
use pos_domain::shared::{AuditContext, DeviceId};

use crate::{MERCHANT, TestApp};

#[tokio::test]
async fn an_id_in_use_is_refused() {
    let app = TestApp::new([]);
    let call = app.device("POS-00000001").await;
    let new = NewDevice { id: Some(call.device_id), details: DeviceDetails::default() };
    let refused = app.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await;
    assert!(matches!(refused, Err(FleetError::Taken)));
}

#[tokio::test]
async fn a_device_of_an_unknown_merchant_is_refused() {
    let app = TestApp::new([1]);
    let new = NewDevice { id: None, details: DeviceDetails::default() };
    let named = app.provision.one(&MerchantAuthorization::operator(MERCHANT), &new).await;
    assert!(matches!(named, Err(FleetError::UnknownMerchant)), "{named:?}");
    let some = app.provision.some(2, MERCHANT, &AuditContext::operator()).await;
    assert!(matches!(some, Err(FleetError::UnknownMerchant)), "{some:?}");
}

#[tokio::test]
async fn generated_ids_are_distinct_and_not_in_use() {
    let app = TestApp::new([1, 2, 2, 3]);
    app.device("POS-00000003").await;
    let ids = app.provision.some(4, MERCHANT, &AuditContext::operator()).await.unwrap();
    assert_eq!(ids, [DeviceId::from_bits(1), DeviceId::from_bits(2)]);
    for id in &ids {
        assert_eq!(app.storage.devices.find(id).await.unwrap().unwrap().merchant_id(), MERCHANT);
    }
}

#[tokio::test]
async fn an_unknown_device_cannot_be_released() {
    let app = TestApp::new([]);
    let refused = app.release.execute(&Authorization::operator(), &DeviceId::from_bits(1)).await;
    assert!(matches!(refused, Err(FleetError::UnknownDevice)));
}
