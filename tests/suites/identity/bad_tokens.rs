//! Invalid access tokens, each of which violates one rule.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::reqwest;
use pos_adapters::identity::oidc::OidcSettings;
use pos_dev_idp::{MintKid, MintOptions, MintSignature, RunningDevIdp};
use pos_port_clock::{Clock, ManualClock};
use pos_port_identity::{Principal, TokenVerifier, VerifyError};
use serde_json::{Map, Value, json};

use super::support::{
    AUDIENCE, MERCHANT, changed, clock, good_claims, mia, mint, mint_with_kid, rejected, start_idp, verifier,
    verifier_with,
};

fn header(parameters: Value) -> Map<String, Value> {
    parameters.as_object().expect("an object").clone()
}

fn signed(idp: &RunningDevIdp, claims: &Value, signature: MintSignature, kid: MintKid, extra: Value) -> String {
    idp.mint(claims, MintOptions { signature, kid, header: header(extra) }).expect("minted")
}

#[tokio::test]
async fn good_tokens_of_every_family_are_accepted() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let claims = good_claims(idp.issuer(), &clock);
    for signature in [MintSignature::Rs256, MintSignature::Ps256, MintSignature::Es256] {
        for kid in [MintKid::OfTheKey, MintKid::Omitted] {
            for typ in ["JWT", "at+jwt", "application/at+JWT"] {
                let token = signed(&idp, &claims, signature, kid.clone(), json!({"typ": typ}));
                assert_eq!(verifier.verify(&token).await, mia(), "{signature:?} {kid:?} {typ}");
                assert_eq!(verifier.verify(&token).await, mia(), "again, from the cache");
            }
        }
    }
}

#[tokio::test]
async fn tokens_with_an_invalid_claim_are_rejected() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let now = clock.now().unix_timestamp();
    let issuer_with_slash = format!("{}/", idp.issuer());
    for (changes, reason) in [
        (json!({"iss": "https://elsewhere.example/realms/viopay"}), "another issuer"),
        (json!({"iss": issuer_with_slash}), "another issuer"),
        (json!({"iss": null}), "another issuer"),
        (json!({"aud": "account"}), "another audience"),
        (json!({"aud": null}), "another audience"),
        (json!({"exp": now - 31}), "expired"),
        (json!({"exp": null}), "no expiry"),
        (json!({"exp": "tomorrow"}), "a time is malformed"),
        (json!({"nbf": now + 31}), "not valid yet"),
        (json!({"iat": now + 31}), "not valid yet"),
        (json!({"typ": "ID"}), "not an access token"),
        (json!({"typ": "Refresh"}), "not an access token"),
        (json!({"sub": null}), "no subject"),
        (json!({"sub": ""}), "subject malformed"),
        (json!({"typ": null}), "not marked as an access token"),
    ] {
        let token = mint(&idp, &changed(good_claims(idp.issuer(), &clock), changes.clone()));
        assert_eq!(verifier.verify(&token).await, rejected(reason), "{changes}");
    }
}

#[tokio::test]
async fn tokens_with_an_invalid_header_or_signature_are_rejected() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let claims = good_claims(idp.issuer(), &clock);
    let (rs, ps, es) = (MintSignature::Rs256, MintSignature::Ps256, MintSignature::Es256);
    let of = |signature| MintKid::Named(idp.kid(signature));
    let token = |signature, kid, extra| signed(&idp, &claims, signature, kid, extra);
    let own_kid = MintKid::OfTheKey;
    let key_mismatch = "key does not fit the algorithm";
    let signature_mismatch = "signature does not match";
    let none = MintSignature::None;
    let forged = MintSignature::Hs256WithPublicKey;
    for (name, token, reason) in [
        ("alg none", token(none, own_kid.clone(), json!({})), "unsigned"),
        ("alg None, no kid", token(none, MintKid::Omitted, json!({"alg": "NONE"})), "unsigned"),
        ("no signature under RS256", token(none, own_kid.clone(), json!({"alg": "RS256"})), "unsigned"),
        ("HS256 with the public key", token(forged, own_kid.clone(), json!({})), "symmetric algorithm"),
        ("the same without a kid", token(forged, MintKid::Omitted, json!({})), "symmetric algorithm"),
        ("the same as RS256", token(forged, own_kid.clone(), json!({"alg": "RS256"})), signature_mismatch),
        ("alg missing", token(rs, own_kid.clone(), json!({"alg": null})), "no algorithm"),
        ("EdDSA", token(rs, own_kid.clone(), json!({"alg": "EdDSA"})), "algorithm not accepted"),
        ("unknown kid", token(rs, MintKid::Named("nobody's".into()), json!({})), "unknown key"),
        ("kid is not a text", token(rs, own_kid.clone(), json!({"kid": 1})), "key id is not a string"),
        ("crit", token(rs, own_kid.clone(), json!({"crit": ["exp"]})), "critical header parameters"),
        ("typ", token(rs, own_kid.clone(), json!({"typ": "logout+jwt"})), "not of an access token's media type"),
        ("RS256 signature, ES256 key", token(rs, of(es), json!({})), key_mismatch),
        ("RS256 signature, PS256 key", token(rs, of(ps), json!({})), key_mismatch),
        ("PS256 signature, RS256 key", token(ps, of(rs), json!({})), key_mismatch),
        ("ES256 signature, RS256 key", token(es, of(rs), json!({})), key_mismatch),
        ("RS256 key, alg ES256", token(rs, own_kid.clone(), json!({"alg": "ES256"})), key_mismatch),
        ("RS256 key, alg RS512", token(rs, own_kid.clone(), json!({"alg": "RS512"})), key_mismatch),
        ("RS256 signature, alg PS256", token(rs, of(ps), json!({"alg": "PS256"})), signature_mismatch),
        ("PS256 signature, alg RS256", token(ps, of(rs), json!({"alg": "RS256"})), signature_mismatch),
        ("RS256 signature, alg ES256", token(rs, of(es), json!({"alg": "ES256"})), signature_mismatch),
    ] {
        assert_eq!(verifier.verify(&token).await, rejected(reason), "{name}");
    }
}

#[tokio::test]
async fn malformed_tokens_are_rejected() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let good = mint(&idp, &good_claims(idp.issuer(), &clock));
    let padded = changed(good_claims(idp.issuer(), &clock), json!({"padding": "x".repeat(20_000)}));
    for (token, reason) in [
        (String::new(), "not a compact JWS"),
        ("garbage".into(), "not a compact JWS"),
        ("a.b.c".into(), "not base64url"),
        ("..".into(), "header is not a JSON object"),
        (format!("{good}."), "not a compact JWS"),
        (format!("{good}="), "not base64url"),
        (format!("{good} "), "not base64url"),
        (mint(&idp, &padded), "too long"),
        ("é".repeat(10), "not a compact JWS"),
        (good.replacen('.', ".\u{0}", 1), "not base64url"),
    ] {
        assert_eq!(verifier.verify(&token).await, rejected(reason), "{token:.40}");
    }
}

#[tokio::test]
async fn a_tampered_token_is_rejected_while_the_original_is_cached() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let claims = good_claims(idp.issuer(), &clock);
    let good = mint(&idp, &claims);
    assert_eq!(verifier.verify(&good).await, mia());

    let [header, _, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    let other_user = changed(claims, json!({"sub": "somebody-else"}));
    let payload = URL_SAFE_NO_PAD.encode(other_user.to_string());
    let forged = format!("{header}.{payload}.{signature}");
    assert_eq!(verifier.verify(&forged).await, rejected("signature does not match"));

    let (signed, signature) = good.rsplit_once('.').expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    for (flipped, name) in [(0, "first"), (bytes.len() / 2, "middle"), (bytes.len() - 1, "last")] {
        let mut bytes = bytes.clone();
        bytes[flipped] ^= 1;
        let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes));
        assert_eq!(verifier.verify(&forged).await, rejected("signature does not match"), "{name} byte");
    }
    let truncated = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 1]));
    assert_eq!(verifier.verify(&truncated).await, rejected("signature does not match"));
}

/// A token header may name or contain its key. The verifier neither fetches nor trusts it.
#[tokio::test]
async fn keys_named_by_a_token_are_ignored() {
    let clock = clock();
    let (idp, attacker) = (start_idp(&clock).await, start_idp(&clock).await);
    let verifier = verifier(idp.issuer(), &clock);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("set");
    let trap_url = format!("http://{}/certs", listener.local_addr().expect("bound"));
    let claims = good_claims(idp.issuer(), &clock);
    let jwk = attacker.jwks()["keys"][0].clone();
    for extra in [json!({"jku": trap_url}), json!({"x5u": trap_url}), json!({"jwk": jwk}), json!({"x5c": ["MIIB"]})] {
        let options = |kid| MintOptions { kid, header: header(extra.clone()), ..MintOptions::default() };
        let stolen_kid = MintKid::Named(idp.kid(MintSignature::Rs256));
        let token = attacker.mint(&claims, options(stolen_kid)).expect("minted");
        assert_eq!(verifier.verify(&token).await, rejected("signature does not match"), "{extra}");
        let token = attacker.mint(&claims, options(MintKid::OfTheKey)).expect("minted");
        assert_eq!(verifier.verify(&token).await, rejected("unknown key"), "{extra}");
        let token = idp.mint(&claims, options(MintKid::OfTheKey)).expect("minted");
        assert_eq!(verifier.verify(&token).await, mia(), "ignored, not rejected: {extra}");
    }
    let connection = listener.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(connection, Err(std::io::ErrorKind::WouldBlock), "the verifier followed a URL of the token");
}

#[tokio::test]
async fn the_authorized_party_counts_as_audience() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    for aud in [json!("account"), json!(["account"]), Value::Null] {
        let claims = changed(good_claims(idp.issuer(), &clock), json!({"aud": aud, "azp": AUDIENCE}));
        assert_eq!(verifier.verify(&mint(&idp, &claims)).await, mia(), "{aud}");
    }
}

#[tokio::test]
async fn the_merchant_may_be_absent_or_nested() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let settings = OidcSettings::new(idp.issuer(), AUDIENCE);
    let nested = verifier_with(OidcSettings { merchant_claim: "organization.merchant.id".into(), ..settings }, &clock);
    let claims = |changes| changed(good_claims(idp.issuer(), &clock), changes);
    let without_merchant = |principal: Principal| Principal { merchant_id: None, ..principal };

    let token = mint(&idp, &claims(json!({"merchant_id": null})));
    assert_eq!(verifier(idp.issuer(), &clock).verify(&token).await, mia().map(without_merchant));
    let token = mint(&idp, &claims(json!({"organization": {"merchant": {"id": MERCHANT}}})));
    assert_eq!(nested.verify(&token).await, mia());
    let token = mint(&idp, &claims(json!({})));
    assert_eq!(nested.verify(&token).await, mia().map(without_merchant));
    let token = mint(&idp, &claims(json!({"organization": {"merchant": {"id": "shop-1"}}})));
    let claim = "organization.merchant.id".to_owned();
    assert_eq!(nested.verify(&token).await, Err(VerifyError::Claim { claim, wanted: "one UUID" }));
    let token = mint(&idp, &claims(json!({"organization": {"merchant": {"id": [MERCHANT]}}})));
    assert_eq!(nested.verify(&token).await, mia(), "a list of one");
}

/// Of the tokens of a log-in, the verifier accepts only the access token.
#[tokio::test]
async fn id_and_refresh_tokens_are_rejected() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let verifier = verifier(idp.issuer(), &clock);
    let form = [
        ("grant_type", "password"),
        ("client_id", "portal"),
        ("username", "mia"),
        ("password", "correct horse"),
        ("scope", "openid"),
    ];
    let url = format!("{}/protocol/openid-connect/token", idp.issuer());
    let answer = reqwest::Client::new().post(url).form(&form).send().await.expect("answered");
    let answer: Value = serde_json::from_str(&answer.text().await.expect("read")).expect("JSON");
    let token = |name: &str| answer[name].as_str().expect(name).to_owned();
    assert_eq!(verifier.verify(&token("access_token")).await, mia());
    assert_eq!(verifier.verify(&token("id_token")).await, rejected("not an access token"));
    assert_eq!(verifier.verify(&token("refresh_token")).await, rejected("symmetric algorithm"));
}

/// The verifier rejects an invalid token without a request to the provider.
#[tokio::test]
async fn an_expired_token_causes_no_request_to_the_provider() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = super::fake_provider::FakeProvider::start(idp.jwks());
    let verifier = verifier(provider.issuer(), &clock);
    let expired = |clock: &ManualClock| json!({"exp": clock.now().unix_timestamp() - 60});
    let claims = good_claims(provider.issuer(), &clock);
    let token = mint_with_kid(&idp, &changed(claims, expired(&clock)), "unheard-of");
    assert_eq!(verifier.verify(&token).await, rejected("expired"));
    assert_eq!(provider.request_counts(), (0, 0));
}
