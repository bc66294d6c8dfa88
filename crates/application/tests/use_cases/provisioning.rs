//! What an operator asks for.

use pos_application::{FleetError, Mandate, NewDevice};
use pos_domain::{Act, DeviceDetails, DeviceId};

use crate::{House, MERCHANT};

#[tokio::test]
async fn a_taken_name_is_refused() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let new = NewDevice { merchant_id: MERCHANT, id: Some(call.device_id), details: DeviceDetails::default() };
    let refused = house.provision.one(&Mandate::operator(), &new, None).await;
    assert!(matches!(refused, Err(FleetError::Taken)));
}

#[tokio::test]
async fn a_device_of_a_merchant_without_a_row_is_refused() {
    let house = House::new([1]);
    let new = NewDevice { merchant_id: MERCHANT, id: None, details: DeviceDetails::default() };
    let named = house.provision.one(&Mandate::operator(), &new, None).await;
    assert!(matches!(named, Err(FleetError::UnknownMerchant)), "{named:?}");
    let some = house.provision.some(2, MERCHANT, &Act::operator()).await;
    assert!(matches!(some, Err(FleetError::UnknownMerchant)), "{some:?}");
}

#[tokio::test]
async fn fresh_names_are_distinct_and_leave_out_taken_ones() {
    let house = House::new([1, 2, 2, 3]);
    house.device("POS-00000003").await;
    let ids = house.provision.some(4, MERCHANT, &Act::operator()).await.unwrap();
    assert_eq!(ids, [DeviceId::from_bits(1), DeviceId::from_bits(2)]);
    for id in &ids {
        assert_eq!(house.storage.devices.find(id).await.unwrap().unwrap().merchant_id(), MERCHANT);
    }
}

#[tokio::test]
async fn an_unknown_device_is_not_released() {
    let house = House::new([]);
    let refused = house.release.execute(&Mandate::operator(), &DeviceId::from_bits(1)).await;
    assert!(matches!(refused, Err(FleetError::UnknownDevice)));
}
