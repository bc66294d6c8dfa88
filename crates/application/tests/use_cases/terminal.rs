//! What a terminal asks for.

use pos_application::{BootstrapError, CheckStatusError, IssuePairingCodeError};
use pos_domain::{DeviceStatus, IssueRefusal, PairingCodeStatus, UserAgent};
use time::Duration;

use crate::{House, MERCHANT, START, TTL, call, user};

#[tokio::test]
async fn bootstrap_tells_time_and_version_and_remembers_the_app() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let answer = house.bootstrap.execute(&call).await.unwrap();
    assert_eq!((answer.server_time, answer.min_supported_version.as_str()), (START, "1.3.5"));
    let device = house.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let seen = device.last_seen().unwrap();
    assert_eq!((&seen.agent, seen.at), (&call.agent, START));
    assert_eq!(device.version(), 1, "bootstrap changes nothing that another call depends on");
}

#[tokio::test]
async fn a_stranger_is_told_so_by_every_call() {
    let house = House::new([]);
    let stranger = call("POS-UNKNOWN");
    assert!(matches!(house.bootstrap.execute(&stranger).await, Err(BootstrapError::UnknownDevice)));
    assert!(matches!(house.issue.execute(&stranger).await, Err(IssuePairingCodeError::UnknownDevice)));
    assert!(matches!(house.status.execute(&stranger).await, Err(CheckStatusError::UnknownDevice)));
}

#[tokio::test]
async fn status_follows_the_code_through_its_life() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let code_status = async || house.checked(&call).await.pairing_code_status;
    assert_eq!(code_status().await, PairingCodeStatus::None);
    house.code(&call).await;
    house.clock.advance(TTL - Duration::microseconds(1));
    assert_eq!(code_status().await, PairingCodeStatus::Pending);
    house.clock.advance(Duration::microseconds(1));
    assert_eq!(code_status().await, PairingCodeStatus::Expired);
    let code = house.code(&call).await;
    house.claim(&user(MERCHANT, "ann"), &code).await.unwrap();
    let checked = house.checked(&call).await;
    assert_eq!((checked.device_status, checked.pairing_code_status), (DeviceStatus::Claimed, PairingCodeStatus::Used));
}

#[tokio::test]
async fn a_claimed_device_gets_no_code() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let code = house.code(&call).await;
    house.claim(&user(MERCHANT, "ann"), &code).await.unwrap();
    let refused = house.issue.execute(&call).await;
    assert!(matches!(refused, Err(IssuePairingCodeError::Refused(IssueRefusal::AlreadyClaimed))));
}

#[tokio::test]
async fn a_taken_code_is_drawn_again() {
    let house = House::new([7, 7, 7, 8]);
    let (first, second) = (house.device("POS-00000001").await, house.device("POS-00000002").await);
    let (a, b) = (house.code(&first).await, house.code(&second).await);
    assert_ne!(a, b);
}

#[tokio::test]
async fn chance_that_always_draws_the_same_is_given_up() {
    let house = House::new(std::iter::repeat_n(7, 1_000));
    let (first, second) = (house.device("POS-00000001").await, house.device("POS-00000002").await);
    house.code(&first).await;
    assert!(matches!(house.issue.execute(&second).await, Err(IssuePairingCodeError::Exhausted)));
}

#[tokio::test]
async fn a_poll_notes_an_update_of_the_app_and_nothing_else() {
    let house = House::new([]);
    let mut call = house.device("POS-00000001").await;
    house.bootstrap.execute(&call).await.unwrap();
    house.clock.advance(Duration::hours(1));
    let seen = async || {
        let device = house.storage.devices.find(&call.device_id).await.unwrap().unwrap();
        device.last_seen().cloned().unwrap()
    };
    house.checked(&call).await;
    assert_eq!(seen().await.at, START, "the same app is not written again");
    call.agent = UserAgent::parse("Viopay-POS/2.0.0 (Android 13; PAX-A920)").unwrap();
    house.checked(&call).await;
    let device = house.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    assert_eq!(device.last_seen().map(|seen| seen.agent.clone()), Some(call.agent));
}
