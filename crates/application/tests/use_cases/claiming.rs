//! What a merchant asks for.

use pos_application::{Answers, ClaimAttempt, ClaimDeviceError, Created, FleetError, KeyedCall, Mandate, StateRefusal};
use pos_domain::{Actor, ClaimStanding, DeviceEventKind, DeviceId, Fingerprint, IdempotencyKey, ReleaseRefusal};
use pos_port_storage::History;
use time::Duration;

use crate::{House, LIMIT, MERCHANT, OTHER_MERCHANT, TTL, attempt, from, user};

#[tokio::test]
async fn a_typed_code_claims_its_device_once() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let ann = user(MERCHANT, "ann");
    let code = house.code(&call).await;
    assert_eq!(house.claim(&ann, &format!(" {} ", code.to_lowercase())).await.unwrap(), call.device_id);
    assert!(matches!(house.claim(&ann, &code).await, Err(ClaimDeviceError::CodeUsed)));
    let events = house.storage.events.events_of(&History::whole(&call.device_id)).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    let wanted = [DeviceEventKind::Provisioned, DeviceEventKind::PairingCodeIssued, DeviceEventKind::Claimed];
    assert_eq!(kinds, wanted);
    assert_eq!(events[2].act.actor, Actor::User(ann.user_id));
}

#[tokio::test]
async fn nonsense_expired_retired_and_foreign_codes_are_told_apart() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let (ann, eve) = (user(MERCHANT, "ann"), user(OTHER_MERCHANT, "eve"));
    let retired = house.code(&call).await;
    let current = house.code(&call).await;
    assert!(matches!(house.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
    assert!(matches!(house.claim(&ann, &retired).await, Err(ClaimDeviceError::CodeExpired)));
    let foreign = house.claim(&eve, &current).await;
    assert!(matches!(foreign, Err(ClaimDeviceError::NotOwner { device_id }) if device_id == call.device_id));
    house.clock.advance(TTL);
    assert!(matches!(house.claim(&ann, &current).await, Err(ClaimDeviceError::CodeExpired)));
}

#[tokio::test]
async fn a_named_device_must_be_the_codes() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let ann = user(MERCHANT, "ann");
    let retired = house.code(&call).await;
    let code = house.code(&call).await;
    let naming = |code: &str, id: &str| ClaimAttempt {
        typed_code: code.to_owned(),
        device_id: Some(id.to_owned()),
        context: from(2),
    };
    for wrong in ["POS-00000002", "pos-00000001", ""] {
        let refused = house.claim.execute(&ann, &naming(&code, wrong)).await;
        assert!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)), "{wrong:?}");
    }
    house.clock.advance(LIMIT.window);
    let refused = house.claim.execute(&ann, &naming(&retired, "POS-00000002")).await;
    assert!(matches!(refused, Err(ClaimDeviceError::CodeNotFound)));
    assert_eq!(house.claim.execute(&ann, &naming(&code, "POS-00000001")).await.unwrap(), call.device_id);
}

#[tokio::test]
async fn guessing_ends_at_the_limit_and_begins_again_after_the_window() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let code = house.code(&call).await;
    let (ann, bob, eve) = (user(MERCHANT, "ann"), user(MERCHANT, "bob"), user(OTHER_MERCHANT, "eve"));
    for _ in 0..LIMIT.max_failures {
        assert!(matches!(house.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
    }
    house.clock.advance(Duration::seconds(20));
    for (who, sent) in [(&ann, "999999"), (&ann, &*code), (&bob, &*code)] {
        let Err(ClaimDeviceError::TooManyFailures(refused)) = house.claim(who, sent).await else {
            panic!("{who:?} was let through");
        };
        assert_eq!(refused.retry_after, Duration::seconds(40));
    }
    assert!(matches!(house.claim(&eve, &code).await, Err(ClaimDeviceError::NotOwner { .. })), "another merchant");
    house.clock.advance(Duration::seconds(40));
    assert!(house.claim(&bob, &code).await.is_ok());
}

#[tokio::test]
async fn success_neither_counts_nor_forgives() {
    let house = House::new([]);
    let ann = user(MERCHANT, "ann");
    for device in 1..=LIMIT.max_failures {
        let call = house.device(&format!("POS-0000000{device}")).await;
        assert!(matches!(house.claim(&ann, "999999").await, Err(ClaimDeviceError::CodeNotFound)));
        let code = house.code(&call).await;
        let claimed = house.claim(&ann, &code).await;
        assert_eq!(claimed.is_ok(), device < LIMIT.max_failures, "device {device}");
    }
}

#[tokio::test]
async fn a_released_device_pairs_again_and_its_old_code_stays_used() {
    let house = House::new([]);
    let call = house.device("POS-00000001").await;
    let ann = user(MERCHANT, "ann");
    let refused = house.release.execute(&Mandate::operator(), &call.device_id).await;
    assert!(matches!(refused, Err(FleetError::Refused(StateRefusal::Release(ReleaseRefusal::NotClaimed)))));
    let old = house.code(&call).await;
    house.claim(&ann, &old).await.unwrap();
    house.release.execute(&Mandate::operator(), &call.device_id).await.unwrap();
    assert!(matches!(house.claim(&ann, &old).await, Err(ClaimDeviceError::CodeUsed)));
    let new = house.code(&call).await;
    assert_eq!(house.claim(&ann, &new).await.unwrap(), call.device_id);
}

fn keyed<'a>(answers: &'a Answers, key: &str, asks: &str) -> Option<KeyedCall<'a, DeviceId>> {
    let key = IdempotencyKey::parse(key).unwrap();
    Some(answers.keyed(key, Fingerprint::of(&[asks.as_bytes()]), |id: &DeviceId| Ok(format!("claimed {id}"))))
}

#[tokio::test]
async fn a_claim_sent_again_under_its_key_is_told_the_first_answer_and_writes_nothing() {
    let house = House::new([]);
    let answers = Answers::new(house.storage.answers.clone(), LIMIT.window * 4);
    let call = house.device("POS-00000001").await;
    let (ann, bob) = (user(MERCHANT, "ann"), user(MERCHANT, "bob"));
    let code = house.code(&call).await;
    let claim = async |by, key, asks: &str, sent: &str| {
        house.claim.execute_once(by, &attempt(sent), keyed(&answers, key, asks)).await
    };
    for wrong in ["999999", "999998"] {
        assert!(matches!(claim(&ann, "k", wrong, wrong).await, Err(ClaimDeviceError::CodeNotFound)), "keeps no key");
    }
    assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), Created::Now(call.device_id.clone()));
    let again = Created::Before("claimed POS-00000001".to_owned());
    for _ in 0..2 * LIMIT.max_failures {
        assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), again);
    }
    assert!(matches!(claim(&ann, "k", "b", "999999").await, Err(ClaimDeviceError::KeyReused)), "another request");
    assert!(matches!(claim(&bob, "k", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "the key is ann's own");
    assert!(matches!(claim(&ann, "k2", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "another key");
    let standing = house.storage.failures.standing(&ann).await.unwrap();
    assert_eq!(standing.merchant.map(|window| window.failures), Some(2), "the two guesses and nothing else");
    assert_eq!(house.storage.events.events_of(&History::whole(&call.device_id)).await.unwrap().len(), 3);

    assert!(matches!(house.claim(&ann, "999997").await, Err(ClaimDeviceError::CodeNotFound)));
    assert!(matches!(house.claim(&ann, &code).await, Err(ClaimDeviceError::TooManyFailures(_))));
    assert_eq!(claim(&ann, "k", "a", &code).await.unwrap(), again, "an answer that is there is no guess");
    house.clock.advance(LIMIT.window * 4);
    assert!(matches!(claim(&ann, "k", "a", &code).await, Err(ClaimDeviceError::CodeUsed)), "its time is over");
}

#[tokio::test]
async fn a_claim_sent_again_without_a_key_is_no_failed_attempt_of_the_merchants() {
    let house = House::new([]);
    let (ann, bob, eve) = (user(MERCHANT, "ann"), user(MERCHANT, "bob"), user(OTHER_MERCHANT, "eve"));
    let call = house.device("POS-00000001").await;
    let (retired, code) = (house.code(&call).await, house.code(&call).await);
    house.claim(&ann, &code).await.unwrap();
    let repeat = async |released: bool| {
        for by in [&ann, &bob, &ann, &bob] {
            assert!(matches!(house.claim(by, &code).await, Err(ClaimDeviceError::CodeUsed)), "released: {released}");
        }
        assert_eq!(house.storage.failures.standing(&ann).await.unwrap(), ClaimStanding::default());
    };
    repeat(false).await;
    house.release.execute(&Mandate::operator(), &call.device_id).await.unwrap();
    repeat(true).await;
    assert!(house.refusals().await.is_empty());
    for (by, sent) in [(&ann, &retired), (&eve, &code)] {
        let _ = house.claim(by, sent).await.unwrap_err();
        let counted = house.storage.failures.standing(by).await.unwrap();
        assert_eq!(counted.user.map(|window| window.failures), Some(1), "{by:?} is wrong");
    }
}
