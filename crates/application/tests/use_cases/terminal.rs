//! Tests of the terminal's use cases.

use pos_application::pairing::{BootstrapError, CheckStatusError, IssuePairingCodeError};
use pos_application::test_support::{MERCHANT, START, claimant, terminal_call};
use pos_domain::device::{DeviceStatus, IssueRefusal, PairingCodeStatus, UserAgent};
use time::Duration;

use crate::{TTL, app};

#[tokio::test]
async fn bootstrap_returns_time_and_version_and_stores_the_terminal_info() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let answer = app.pairing.bootstrap.execute(&call).await.unwrap();
    assert_eq!((answer.server_time, answer.min_supported_version.as_str()), (START, "1.3.5"));
    let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    let seen = device.last_seen().unwrap();
    assert_eq!((&seen.agent, seen.at), (&call.agent, START));
    assert_eq!(device.version(), 1, "bootstrap changes nothing that another request depends on");
}

#[tokio::test]
async fn every_request_of_an_unknown_device_is_refused() {
    let app = app([]);
    let stranger = terminal_call("POS-UNKNOWN");
    assert!(matches!(app.pairing.bootstrap.execute(&stranger).await, Err(BootstrapError::UnknownDevice)));
    assert!(matches!(
        app.pairing.issue_pairing_code.execute(&stranger).await,
        Err(IssuePairingCodeError::UnknownDevice)
    ));
    assert!(matches!(app.pairing.check_status.execute(&stranger).await, Err(CheckStatusError::UnknownDevice)));
}

#[tokio::test]
async fn the_code_status_is_pending_then_expired_then_used() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let code_status = async || app.status(&call).await.pairing_code_status;
    assert_eq!(code_status().await, PairingCodeStatus::None);
    app.code(&call).await;
    app.clock.advance(TTL - Duration::microseconds(1));
    assert_eq!(code_status().await, PairingCodeStatus::Pending);
    app.clock.advance(Duration::microseconds(1));
    assert_eq!(code_status().await, PairingCodeStatus::Expired);
    let code = app.code(&call).await;
    app.claim(&claimant(MERCHANT, "ann"), &code).await.unwrap();
    let checked = app.status(&call).await;
    assert_eq!((checked.device_status, checked.pairing_code_status), (DeviceStatus::Claimed, PairingCodeStatus::Used));
}

#[tokio::test]
async fn a_claimed_device_gets_no_code() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let code = app.code(&call).await;
    app.claim(&claimant(MERCHANT, "ann"), &code).await.unwrap();
    let refused = app.pairing.issue_pairing_code.execute(&call).await;
    assert!(matches!(refused, Err(IssuePairingCodeError::Refused(IssueRefusal::AlreadyClaimed))));
}

#[tokio::test]
async fn a_generated_code_in_use_is_generated_again() {
    let app = app([7, 7, 7, 8]);
    let (first, second) = (app.terminal("POS-00000001").await, app.terminal("POS-00000002").await);
    let (a, b) = (app.code(&first).await, app.code(&second).await);
    assert_ne!(a, b);
}

#[tokio::test]
async fn entropy_that_repeats_itself_exhausts_the_attempts() {
    let app = app(std::iter::repeat_n(7, 1_000));
    let (first, second) = (app.terminal("POS-00000001").await, app.terminal("POS-00000002").await);
    app.code(&first).await;
    assert!(matches!(app.pairing.issue_pairing_code.execute(&second).await, Err(IssuePairingCodeError::Exhausted)));
}

#[tokio::test]
async fn a_poll_stores_a_changed_user_agent_and_nothing_else() {
    let app = app([]);
    let mut call = app.terminal("POS-00000001").await;
    app.pairing.bootstrap.execute(&call).await.unwrap();
    app.clock.advance(Duration::hours(1));
    let seen = async || {
        let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
        device.last_seen().cloned().unwrap()
    };
    app.status(&call).await;
    assert_eq!(seen().await.at, START, "the same user agent is not stored again");
    call.agent = UserAgent::parse("Viopay-POS/2.0.0 (Android 13; PAX-A920)").unwrap();
    app.status(&call).await;
    let device = app.storage.devices.find(&call.device_id).await.unwrap().unwrap();
    assert_eq!(device.last_seen().map(|seen| seen.agent.clone()), Some(call.agent));
}
