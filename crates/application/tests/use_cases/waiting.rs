//! Tests of held status requests.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_application::pairing::{CheckStatus, CheckedStatus, StatusAnswer, TerminalCall};
use pos_application::test_support::{MERCHANT, START, TestApp, claimant};
use pos_application::{Ports, UseCases};
use pos_domain::device::{DeviceStatus, PairingCodeStatus};
use pos_domain::shared::DeviceId;
use pos_port_clock::{ManualClock, ScriptedEntropy};
use pos_port_storage::Storage;
use pos_port_storage::pairing::{DeviceChangeNotifier, DeviceSubscription, Wake};

use crate::{app, rules};

/// Nothing changes; time passes until the timeout.
struct NoChange(Arc<ManualClock>);

#[async_trait]
impl DeviceSubscription for NoChange {
    async fn changed(&mut self, at_most: Duration) -> Wake {
        self.0.advance(at_most.try_into().unwrap());
        Wake::TimedOut
    }
}

impl DeviceChangeNotifier for NoChange {
    fn subscribe(&self, _: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

/// The device is claimed during the wait, but the notification is lost.
struct LostNotification(Arc<TestApp>, String);

#[async_trait]
impl DeviceSubscription for LostNotification {
    async fn changed(&mut self, at_most: Duration) -> Wake {
        self.0.clock.advance(at_most.try_into().unwrap());
        let _ = self.0.claim(&claimant(MERCHANT, "ann"), &self.1).await;
        Wake::TimedOut
    }
}

impl DeviceChangeNotifier for LostNotification {
    fn subscribe(&self, _: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        Some(Box::new(Self(self.0.clone(), self.1.clone())))
    }
}

/// Notifies every second without a change of the status.
struct SpuriousNotifications(Arc<ManualClock>);

#[async_trait]
impl DeviceSubscription for SpuriousNotifications {
    async fn changed(&mut self, _: Duration) -> Wake {
        self.0.advance(time::Duration::SECOND);
        Wake::Changed
    }
}

impl DeviceChangeNotifier for SpuriousNotifications {
    fn subscribe(&self, _: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        Some(Box::new(Self(self.0.clone())))
    }
}

/// Accepts no subscription.
struct Full;

impl DeviceChangeNotifier for Full {
    fn subscribe(&self, _: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        None
    }
}

fn status(app: &TestApp, changes: impl DeviceChangeNotifier + 'static) -> CheckStatus {
    let storage = Storage { changes: Arc::new(changes), ..app.storage.clone() };
    let ports = Ports::for_tests(storage, app.clock.clone(), Arc::new(ScriptedEntropy::default()));
    UseCases::new(&ports, &rules()).pairing.check_status
}

/// Returns the status at the end of an uninterrupted wait, and whether the request was held.
async fn wait_to_the_end(status: &CheckStatus, call: &TerminalCall, seconds: u64) -> (CheckedStatus, bool) {
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

fn waited(app: &TestApp) -> i64 {
    (pos_port_clock::Clock::now(&*app.clock) - START).whole_seconds()
}

#[tokio::test]
async fn without_a_change_the_wait_ends_at_its_timeout() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    app.code(&call).await;
    let (checked, _) = wait_to_the_end(&status(&app, NoChange(app.clock.clone())), &call, 12).await;
    assert_eq!(checked.pairing_code_status, PairingCodeStatus::Pending);
    assert_eq!(waited(&app), 12);
}

#[tokio::test]
async fn a_code_that_expires_ends_the_wait_at_that_time() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    app.code(&call).await;
    let (checked, _) = wait_to_the_end(&status(&app, NoChange(app.clock.clone())), &call, 900).await;
    assert_eq!(checked.pairing_code_status, PairingCodeStatus::Expired);
    assert_eq!(waited(&app), 300);
}

#[tokio::test]
async fn a_claim_with_a_lost_notification_is_detected_by_the_recheck() {
    let app = Arc::new(app([]));
    let call = app.terminal("POS-00000001").await;
    let code = app.code(&call).await;
    let (checked, _) = wait_to_the_end(&status(&app, LostNotification(app.clone(), code)), &call, 60).await;
    assert_eq!(checked.device_status, DeviceStatus::Claimed);
    assert_eq!(waited(&app), 5);
}

#[tokio::test]
async fn without_a_free_subscription_the_request_is_answered_at_once() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    app.code(&call).await;
    let (checked, held) = wait_to_the_end(&status(&app, Full), &call, 60).await;
    assert_eq!((checked.pairing_code_status, held, waited(&app)), (PairingCodeStatus::Pending, false, 0));
}

#[tokio::test]
async fn spurious_notifications_do_not_extend_the_wait() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    app.code(&call).await;
    let spurious = status(&app, SpuriousNotifications(app.clock.clone()));
    let (_, held) = wait_to_the_end(&spurious, &call, 12).await;
    assert_eq!((held, waited(&app)), (true, 12));
}

#[tokio::test]
async fn an_interrupted_wait_returns_the_latest_known_status() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    app.code(&call).await;
    let no_change = status(&app, NoChange(app.clock.clone()));
    let answer = no_change.begin_wait(&call, Duration::from_secs(60)).await.unwrap();
    let StatusAnswer::Waiting(waiting) = answer else { panic!("expected a held request") };
    assert_eq!((waiting.status().pairing_code_status, waited(&app)), (PairingCodeStatus::Pending, 0));
}
