//! Tests of the claim rules.

use crate::oidc::claims::BTreeSet;
use crate::oidc::claims::ClaimRules;
use crate::oidc::claims::Claims;
use crate::oidc::claims::Refusal;
use crate::oidc::rejection::Rejection;
use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const MERCHANT: &str = "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f";

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: "https://idp.example/realms/pos".into(),
        audience: "pos-activation".into(),
        merchant_claim: "merchant_id".into(),
        reseller_claim: "reseller_id".into(),
        roles_claim: "roles".into(),
        leeway: Duration::seconds(30),
    }
}

/// A valid payload with `changes` applied; `null` removes a claim.
fn payload(changes: Value) -> Claims {
    let now = NOW.unix_timestamp();
    let mut claims = json!({
        "iss": "https://idp.example/realms/pos", "aud": "pos-activation", "sub": "user-1", "typ": "Bearer",
        "iat": now - 10, "nbf": now - 10, "exp": now + 300, "merchant_id": MERCHANT,
    });
    for (name, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            claims.as_object_mut().expect("an object").remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims.as_object().expect("an object").clone()
}

fn merchant() -> Option<MerchantId> {
    Some(MerchantId(Uuid::try_parse(MERCHANT).expect("a UUID")))
}

#[test]
fn accepts_what_the_rules_allow() {
    let now = NOW.unix_timestamp();
    for changes in [
        json!({}),
        json!({"aud": ["account", "pos-activation"]}),
        json!({"aud": "account", "azp": "pos-activation"}),
        json!({"aud": null, "azp": "pos-activation"}),
        json!({"aud": [], "azp": "pos-activation"}),
        json!({"iat": null, "nbf": null}),
        json!({"exp": now - 29}),
        json!({"exp": now as f64 - 29.5}),
        json!({"nbf": now + 30, "iat": now + 30}),
        json!({"merchant_id": MERCHANT.to_uppercase()}),
        json!({"merchant_id": [MERCHANT]}),
    ] {
        let accepted = rules().check(&payload(changes.clone()), false, NOW).map(|accepted| accepted.principal);
        let named = accepted.map(|principal| (principal.user_id, principal.merchant_id));
        assert_eq!(named, Ok((UserId::parse("user-1").expect("valid"), merchant())), "{changes}");
    }
}

#[test]
fn refuses_what_breaks_one_rule() {
    let now = NOW.unix_timestamp();
    for (changes, reason) in [
        (json!({"iss": null}), "another issuer"),
        (json!({"iss": "https://idp.example/realms/pos/"}), "another issuer"),
        (json!({"iss": "https://idp.example/realms/POS"}), "another issuer"),
        (json!({"iss": ["https://idp.example/realms/pos"]}), "issuer malformed"),
        (json!({"typ": null}), "not marked as an access token"),
        (json!({"typ": "ID"}), "not an access token"),
        (json!({"typ": "DPoP"}), "not an access token"),
        (json!({"typ": "Refresh"}), "not an access token"),
        (json!({"typ": "bearer"}), "not an access token"),
        (json!({"typ": ["Bearer"]}), "token type malformed"),
        (json!({"aud": null}), "another audience"),
        (json!({"aud": "account"}), "another audience"),
        (json!({"aud": ["account"], "azp": "other"}), "another audience"),
        (json!({"aud": "pos-activation-2"}), "another audience"),
        (json!({"aud": ["pos-activation", 7]}), "audience malformed"),
        (json!({"aud": {"pos-activation": true}}), "audience malformed"),
        (json!({"azp": 7}), "audience malformed"),
        (json!({"exp": null}), "no expiry"),
        (json!({"exp": now - 30}), "expired"),
        (json!({"exp": -1}), "expired"),
        (json!({"exp": (now + 300).to_string()}), "a time is malformed"),
        (json!({"exp": 1e300}), "a time is malformed"),
        (json!({"exp": u64::MAX}), "a time is malformed"),
        (json!({"exp": [now + 300]}), "a time is malformed"),
        (json!({"nbf": now + 31}), "not valid yet"),
        (json!({"iat": now + 31}), "not valid yet"),
        (json!({"nbf": "soon"}), "a time is malformed"),
        (json!({"iat": {}}), "a time is malformed"),
        (json!({"sub": null}), "no subject"),
        (json!({"sub": ""}), "subject malformed"),
        (json!({"sub": 7}), "subject malformed"),
        (json!({"sub": "a\nb"}), "subject malformed"),
        (json!({"sub": "a".repeat(256)}), "subject malformed"),
        (json!({"sid": ""}), "session id malformed"),
        (json!({"sid": ["s"]}), "session id malformed"),
        (json!({"jti": 7}), "token id malformed"),
        (json!({"events": {}}), "not an access token"),
    ] {
        let refused = rules().check(&payload(changes.clone()), false, NOW);
        assert_eq!(refused, Err(Refusal::Rejected(Rejection(reason))), "{changes}");
    }
}

fn unusable(claim: &str, wanted: &'static str) -> Refusal {
    Refusal::Claim { claim: claim.to_owned(), wanted }
}

#[test]
fn the_header_may_mark_an_access_token() {
    let check = |changes: Value| rules().check(&payload(changes), true, NOW).map(|_| ());
    assert_eq!(check(json!({"typ": null})), Ok(()));
    assert_eq!(check(json!({"typ": "Bearer"})), Ok(()));
    assert_eq!(check(json!({"typ": "ID"})), Err(Rejection("not an access token").into()), "the payload decides");
}

#[test]
fn a_configured_claim_of_the_wrong_type_is_named() {
    let words = "a list of texts, or one text";
    for (changes, claim, wanted) in [
        (json!({"merchant_id": "m-1"}), "merchant_id", "one UUID"),
        (json!({"merchant_id": ""}), "merchant_id", "one UUID"),
        (json!({"merchant_id": 7}), "merchant_id", "one UUID"),
        (json!({"merchant_id": []}), "merchant_id", "one UUID"),
        (json!({"merchant_id": [7]}), "merchant_id", "one UUID"),
        (json!({"merchant_id": [[MERCHANT]]}), "merchant_id", "one UUID"),
        (json!({"merchant_id": [MERCHANT, MERCHANT]}), "merchant_id", "one UUID"),
        (json!({"merchant_id": {"id": MERCHANT}}), "merchant_id", "one UUID"),
        (json!({"merchant_id": MERCHANT.replace('-', "")}), "merchant_id", "one UUID"),
        (json!({"reseller_id": "r-1"}), "reseller_id", "one UUID"),
        (json!({"reseller_id": [MERCHANT, 7]}), "reseller_id", "one UUID"),
        (json!({"roles": 7}), "roles", words),
        (json!({"roles": ["merchant-admin", 7]}), "roles", words),
        (json!({"roles": {"merchant-admin": true}}), "roles", words),
    ] {
        assert_eq!(rules().check(&payload(changes.clone()), false, NOW), Err(unusable(claim, wanted)), "{changes}");
    }
    let expired = json!({"merchant_id": 7, "exp": 1});
    assert_eq!(rules().check(&payload(expired), false, NOW), Err(Rejection("expired").into()), "token first");
}

#[test]
fn a_token_is_valid_until_just_before_expiry_plus_leeway() {
    let accepted = rules().check(&payload(json!({})), false, NOW).expect("good");
    let end = NOW + Duration::seconds(330);
    assert_eq!(accepted.validity.check(end - Duration::microseconds(1)), Ok(()));
    assert_eq!(accepted.validity.check(end), Err(Rejection("expired")));
    let start = NOW - Duration::seconds(40);
    assert_eq!(accepted.validity.check(start), Ok(()));
    assert_eq!(accepted.validity.check(start - Duration::microseconds(1)), Err(Rejection("not valid yet")));
}

#[test]
fn the_merchant_may_be_absent_nested_or_under_a_dotted_name() {
    for (path, changes, expected) in [
        ("merchant_id", json!({"merchant_id": null}), Ok(None)),
        ("org.merchant.id", json!({"org": {"merchant": {"id": MERCHANT}}}), Ok(merchant())),
        ("org.merchant.id", json!({"org": {"merchant": {}}}), Ok(None)),
        ("org.merchant.id", json!({"org": {}}), Ok(None)),
        ("org.merchant.id", json!({}), Ok(None)),
        ("org.merchant.id", json!({"org": "x"}), Err(unusable("org.merchant.id", "one UUID"))),
        ("org.merchant.id", json!({"org": {"merchant": {"id": null}}}), Err(unusable("org.merchant.id", "one UUID"))),
        ("https://viopay.io/merchant", json!({"https://viopay.io/merchant": MERCHANT}), Ok(merchant())),
    ] {
        let rules = ClaimRules { merchant_claim: path.into(), ..rules() };
        let found = rules.check(&payload(changes.clone()), false, NOW).map(|accepted| accepted.principal.merchant_id);
        assert_eq!(found, expected, "{path} in {changes}");
    }
}

#[test]
fn roles_are_a_list_or_one_string_or_not_configured() {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>());
    for (path, changes, expected) in [
        ("roles", json!({}), words(&[])),
        ("roles", json!({"roles": ["merchant-admin", "other"]}), words(&["merchant-admin", "other"])),
        ("roles", json!({"roles": "merchant-admin other"}), words(&["merchant-admin", "other"])),
        ("realm_access.roles", json!({"realm_access": {"roles": ["merchant-viewer"]}}), words(&["merchant-viewer"])),
        ("realm_access.roles", json!({}), words(&[])),
        ("", json!({"roles": 7}), None),
    ] {
        let rules = ClaimRules { roles_claim: path.into(), ..rules() };
        let found = rules.check(&payload(changes.clone()), false, NOW).map(|accepted| accepted.principal.roles);
        assert_eq!(found, Ok(expected), "{path} in {changes}");
    }
}

#[test]
fn the_session_is_the_providers_or_the_tokens_own() {
    let session = |changes: Value| {
        rules().check(&payload(changes), false, NOW).map(|accepted| accepted.principal.session).expect("good")
    };
    let later = json!({"exp": NOW.unix_timestamp() + 600});
    let with = |name: &str, value: &str, base: Value| {
        let mut changes = base;
        changes[name] = value.into();
        changes
    };
    let of_provider = session(with("sid", "1", json!({"jti": "a"})));
    assert!(of_provider.is_refreshed);
    assert_eq!(
        session(with("sid", "1", with("jti", "b", later.clone()))).key,
        of_provider.key,
        "tokens of one session"
    );
    assert_ne!(session(with("sid", "2", json!({}))).key, of_provider.key);
    let alone = session(json!({"jti": "1"}));
    assert!(!alone.is_refreshed && alone.key != of_provider.key, "ids of different kinds never collide");
    assert_eq!(session(with("jti", "1", later.clone())).key, alone.key);
    assert_ne!(session(json!({"jti": "2"})).key, alone.key);
    assert_eq!(session(json!({})).key, session(json!({})).key);
    assert_ne!(session(later).key, session(json!({})).key, "without ids all claims are hashed");
    assert_eq!(alone.expires_at, NOW + Duration::seconds(300));
    assert_eq!(alone.issued_at, NOW - Duration::seconds(10));
    assert_eq!(session(json!({"iat": null})).issued_at, OffsetDateTime::UNIX_EPOCH);
}
