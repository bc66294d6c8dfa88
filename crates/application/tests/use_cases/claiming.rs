//! Tests of claims and releases.

use pos_application::pairing::{ClaimAttempt, ClaimDeviceError};
use pos_application::support::{
    Authorization, EncodedResponse, FleetError, Idempotency, ResponseEncoder, StateRefusal,
};
use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, attempt, claimant};
use pos_domain::audit::AuditKind;
use pos_domain::device::{DeviceEventKind, ReleaseRefusal};
use pos_domain::shared::{Actor, AttemptCounts, DeviceId, Fingerprint, IdempotencyKey};
use time::Duration;

use crate::{LIMIT, TTL, app};

#[tokio::test]
async fn a_code_claims_its_device_once() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let ann = claimant(MERCHANT, "ann");
    let code = app.code(&call).await;
    assert_eq!(app.claim(&ann, &format!(" {} ", code.to_lowercase())).await.unwrap(), call.device_id);
    assert!(matches!(app.claim(&ann, &code).await, Err(ClaimDeviceError::CodeUsed)));
    let events = app.device_events(&call.device_id).await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    let expected = [DeviceEventKind::Provisioned, DeviceEventKind::PairingCodeIssued, DeviceEventKind::Claimed];
    assert_eq!(kinds, expected);
    assert_eq!(events[2].audit_context.actor, Actor::User(ann.user_id));
}

#[tokio::test]
async fn unknown_expired_superseded_and_foreign_codes_have_different_errors() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let (ann, eve) = (claimant(MERCHANT, "ann"), claimant(OTHER_MERCHANT, "eve"));
    let superseded = app.code(&call).await;
    let current = app.code(&call).await;
    assert!(matches!(app.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
    assert!(matches!(app.claim(&ann, &superseded).await, Err(ClaimDeviceError::CodeExpired)));
    let foreign = app.claim(&eve, &current).await;
    assert!(matches!(foreign, Err(ClaimDeviceError::NotOwner { device_id }) if device_id == call.device_id));
    app.clock.advance(TTL);
    assert!(matches!(app.claim(&ann, &current).await, Err(ClaimDeviceError::CodeExpired)));
}

#[tokio::test]
async fn a_named_device_must_match_the_code() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let ann = claimant(MERCHANT, "ann");
    let superseded = app.code(&call).await;
    let code = app.code(&call).await;
    let naming = |code: &str, id: &str| ClaimAttempt { device_id: Some(id.to_owned()), ..attempt(code) };
    for wrong in ["POS-00000002", "pos-00000001", ""] {
        let refused = app.pairing.claim_device.execute(&ann, &naming(&code, wrong)).await;
        assert!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)), "{wrong:?}");
    }
    app.clock.advance(LIMIT.window);
    let refused = app.pairing.claim_device.execute(&ann, &naming(&superseded, "POS-00000002")).await;
    assert!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)));
    assert_eq!(app.pairing.claim_device.execute(&ann, &naming(&code, "POS-00000001")).await.unwrap(), call.device_id);
}

#[tokio::test]
async fn guessing_stops_at_the_limit_until_the_window_ends() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let code = app.code(&call).await;
    let (ann, bob, eve) = (claimant(MERCHANT, "ann"), claimant(MERCHANT, "bob"), claimant(OTHER_MERCHANT, "eve"));
    for _ in 0..LIMIT.max_failures {
        assert!(matches!(app.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
    }
    app.clock.advance(Duration::seconds(20));
    for (who, sent) in [(&ann, "999999"), (&ann, &*code), (&bob, &*code)] {
        let Err(ClaimDeviceError::TooManyFailures(refused)) = app.claim(who, sent).await else {
            panic!("{who:?} was not refused");
        };
        assert_eq!(refused.retry_after, Duration::seconds(40));
    }
    assert!(matches!(app.claim(&eve, &code).await, Err(ClaimDeviceError::NotOwner { .. })), "another merchant");
    app.clock.advance(Duration::seconds(40));
    assert!(app.claim(&bob, &code).await.is_ok());
}

#[tokio::test]
async fn a_successful_claim_does_not_change_the_failure_count() {
    let app = app([]);
    let ann = claimant(MERCHANT, "ann");
    for device in 1..=LIMIT.max_failures {
        let call = app.terminal(&format!("POS-0000000{device}")).await;
        assert!(matches!(app.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
        let code = app.code(&call).await;
        let claimed = app.claim(&ann, &code).await;
        assert_eq!(claimed.is_ok(), device < LIMIT.max_failures, "device {device}");
    }
}

#[tokio::test]
async fn a_released_device_can_be_paired_again_and_its_old_code_stays_used() {
    let app = app([]);
    let call = app.terminal("POS-00000001").await;
    let ann = claimant(MERCHANT, "ann");
    let refused = app.fleet.release.execute(&Authorization::operator(), &call.device_id).await;
    assert!(matches!(refused, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed)))));
    let old = app.code(&call).await;
    app.claim(&ann, &old).await.unwrap();
    app.fleet.release.execute(&Authorization::operator(), &call.device_id).await.unwrap();
    assert!(matches!(app.claim(&ann, &old).await, Err(ClaimDeviceError::CodeUsed)));
    let new = app.code(&call).await;
    assert_eq!(app.claim(&ann, &new).await.unwrap(), call.device_id);
}

fn keyed<'a>(idempotency: &'a Idempotency, key: &str, asks: &str) -> ResponseEncoder<'a, DeviceId> {
    let key = IdempotencyKey::parse(key).unwrap();
    idempotency.keyed(key, Fingerprint::of(&[asks.as_bytes()]), |id: &DeviceId| Ok(format!("claimed {id}")))
}

#[tokio::test]
async fn a_repeated_claim_with_its_key_gets_the_first_response_and_writes_nothing() {
    let app = app([]);
    let idempotency = &app.idempotency;
    let call = app.terminal("POS-00000001").await;
    let (ann, bob) = (claimant(MERCHANT, "ann"), claimant(MERCHANT, "bob"));
    let code = app.code(&call).await;
    let claim = async |by, key, asks: &str, sent: &str| {
        app.pairing.claim_device.execute_encoded(by, &attempt(sent), keyed(idempotency, key, asks)).await
    };
    for wrong in ["999999", "999998"] {
        assert!(matches!(claim(&ann, "k", wrong, wrong).await, Err(ClaimDeviceError::CodeNotFound)), "stores no key");
    }
    let body = "claimed POS-00000001".to_owned();
    assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), EncodedResponse::New(body.clone()));
    let again = EncodedResponse::Replayed(body);
    for _ in 0..2 * LIMIT.max_failures {
        assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), again);
    }
    assert!(matches!(claim(&ann, "k", "b", "999999").await, Err(ClaimDeviceError::KeyReused)), "another request");
    assert!(matches!(claim(&bob, "k", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "the key belongs to ann");
    assert!(matches!(claim(&ann, "k2", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "another key");
    let counts = app.storage.failures.attempt_counts(&ann).await.unwrap();
    assert_eq!(counts.merchant.map(|window| window.failures), Some(2), "only the two guesses");
    assert_eq!(app.device_events(&call.device_id).await.len(), 3);

    assert!(matches!(app.claim(&ann, "999997").await, Err(ClaimDeviceError::CodeNotFound)));
    assert!(matches!(app.claim(&ann, &code).await, Err(ClaimDeviceError::TooManyFailures(_))));
    assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), again, "a replay is not limited");
    app.clock.advance(LIMIT.window * 4);
    assert!(matches!(claim(&ann, "k", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "the key has expired");
}

#[tokio::test]
async fn a_repeated_claim_without_a_key_by_the_same_merchant_is_no_failed_attempt() {
    let app = app([]);
    let (ann, bob, eve) = (claimant(MERCHANT, "ann"), claimant(MERCHANT, "bob"), claimant(OTHER_MERCHANT, "eve"));
    let call = app.terminal("POS-00000001").await;
    let (superseded, code) = (app.code(&call).await, app.code(&call).await);
    app.claim(&ann, &code).await.unwrap();
    let repeat = async |released: bool| {
        for by in [&ann, &bob, &ann, &bob] {
            assert!(matches!(app.claim(by, &code).await, Err(ClaimDeviceError::CodeUsed)), "released: {released}");
        }
        assert_eq!(app.storage.failures.attempt_counts(&ann).await.unwrap(), AttemptCounts::default());
    };
    repeat(false).await;
    app.fleet.release.execute(&Authorization::operator(), &call.device_id).await.unwrap();
    repeat(true).await;
    assert!(app.audit_events_of(AuditKind::ClaimRefused).await.is_empty());
    for (by, sent) in [(&ann, &superseded), (&eve, &code)] {
        let _ = app.claim(by, sent).await.unwrap_err();
        let counted = app.storage.failures.attempt_counts(by).await.unwrap();
        assert_eq!(counted.user.map(|window| window.failures), Some(1), "{by:?} failed");
    }
}
