//! A terminal that has its status held back until something changes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_application::{CheckStatus, CheckedStatus, StatusAnswer, TerminalCall};
use pos_domain::{DeviceId, DeviceStatus, PairingCodeStatus};
use pos_port_clock::ManualClock;
use pos_port_storage::{DeviceChanges, Watch, Woken};

use crate::{House, MERCHANT, START, user};

/// Nothing changes, and time passes as it is asked to.
struct Uneventful(Arc<ManualClock>);

#[async_trait]
impl Watch for Uneventful {
    async fn changed(&mut self, at_most: Duration) -> Woken {
        self.0.advance(at_most.try_into().unwrap());
        Woken::ByTime
    }
}

impl DeviceChanges for Uneventful {
    fn watch(&self, _: &DeviceId) -> Option<Box<dyn Watch>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

/// The device is claimed during the wait, but word of it is lost.
struct Unheard(Arc<House>, String);

#[async_trait]
impl Watch for Unheard {
    async fn changed(&mut self, at_most: Duration) -> Woken {
        self.0.clock.advance(at_most.try_into().unwrap());
        let _ = self.0.claim(&user(MERCHANT, "ann"), &self.1).await;
        Woken::ByTime
    }
}

impl DeviceChanges for Unheard {
    fn watch(&self, _: &DeviceId) -> Option<Box<dyn Watch>> {
        Some(Box::new(Self(self.0.clone(), self.1.clone())))
    }
}

/// Is woken again and again by what is no change, a second each time.
struct Restless(Arc<ManualClock>);

#[async_trait]
impl Watch for Restless {
    async fn changed(&mut self, _: Duration) -> Woken {
        self.0.advance(time::Duration::SECOND);
        Woken::ByChange
    }
}

impl DeviceChanges for Restless {
    fn watch(&self, _: &DeviceId) -> Option<Box<dyn Watch>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

/// Has no room.
struct Full;

impl DeviceChanges for Full {
    fn watch(&self, _: &DeviceId) -> Option<Box<dyn Watch>> {
        None
    }
}

fn status(house: &House, changes: impl DeviceChanges + 'static) -> CheckStatus {
    CheckStatus::new(house.storage.devices.clone(), Arc::new(changes), house.clock.clone(), Duration::from_secs(5))
}

/// The answer at the end of a wait that nobody stops, and whether it was held back.
async fn at_the_end(status: &CheckStatus, call: &TerminalCall, seconds: u64) -> (CheckedStatus, bool) {
    let mut answer = status.begin_wait(call, Duration::from_secs(seconds)).await.unwrap();
    let mut held = false;
    loop {
        match answer {
            StatusAnswer::Ready(status) => return (status, held),
            StatusAnswer::Waiting(mut waiting) => {
                held = true;
                let woken = waiting.changed().await;
                answer = status.look_again(call, waiting, woken).await;
            }
        }
    }
}

fn waited(house: &House) -> i64 {
    (pos_port_clock::Clock::now(&*house.clock) - START).whole_seconds()
}

#[tokio::test]
async fn where_nothing_changes_the_wait_ends_in_time() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    house.code(&call).await;
    let (checked, _) = at_the_end(&status(&house, Uneventful(house.clock.clone())), &call, 12).await;
    assert_eq!(checked.pairing_code_status, PairingCodeStatus::Pending);
    assert_eq!(waited(&house), 12);
}

#[tokio::test]
async fn a_code_that_expires_ends_the_wait_at_that_instant() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    house.code(&call).await;
    let (checked, _) = at_the_end(&status(&house, Uneventful(house.clock.clone())), &call, 900).await;
    assert_eq!(checked.pairing_code_status, PairingCodeStatus::Expired);
    assert_eq!(waited(&house), 300);
}

#[tokio::test]
async fn a_claim_whose_word_is_lost_is_seen_within_seconds() {
    let house = Arc::new(House::new([]));
    let call = house.device("POS-00000001").await;
    let code = house.code(&call).await;
    let (checked, _) = at_the_end(&status(&house, Unheard(house.clone(), code)), &call, 60).await;
    assert_eq!(checked.device_status, DeviceStatus::Claimed);
    assert_eq!(waited(&house), 5);
}

#[tokio::test]
async fn who_finds_no_room_is_answered_at_once() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    house.code(&call).await;
    let (checked, held) = at_the_end(&status(&house, Full), &call, 60).await;
    assert_eq!((checked.pairing_code_status, held, waited(&house)), (PairingCodeStatus::Pending, false, 0));
}

#[tokio::test]
async fn waking_for_nothing_does_not_lengthen_the_wait() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    house.code(&call).await;
    let restless = status(&house, Restless(house.clock.clone()));
    let (_, held) = at_the_end(&restless, &call, 12).await;
    assert_eq!((held, waited(&house)), (true, 12));
}

#[tokio::test]
async fn whoever_is_stopped_is_told_what_was_known() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    house.code(&call).await;
    let uneventful = status(&house, Uneventful(house.clock.clone()));
    let answer = uneventful.begin_wait(&call, Duration::from_secs(60)).await.unwrap();
    let StatusAnswer::Waiting(waiting) = answer else { panic!("there is something to wait for") };
    assert_eq!((waiting.status().pairing_code_status, waited(&house)), (PairingCodeStatus::Pending, 0));
}
