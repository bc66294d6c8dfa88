//! What an operator asks for.

use pos_application::{ProvisionDevicesError, ReleaseDeviceError};
use pos_domain::{Act, DeviceId};

use crate::{House, MERCHANT};

#[tokio::test]
async fn a_taken_name_is_refused() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let refused = house.provision.named(call.device_id.clone(), MERCHANT, Act::operator()).await;
    assert!(matches!(refused, Err(ProvisionDevicesError::Taken(id)) if id == call.device_id));
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
    let refused = house.release.execute(&DeviceId::from_bits(1), &Act::operator()).await;
    assert!(matches!(refused, Err(ReleaseDeviceError::UnknownDevice)));
}
