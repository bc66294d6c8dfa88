//! Password, client credentials and refresh token grants of the development issuer.

use pos_domain::shared::MerchantId;
use pos_port_clock::Clock;
use pos_port_identity::TokenVerifier;
use serde_json::json;
use time::Duration;

use super::super::support::{AUDIENCE, MERCHANT, USER, mia, verifier};
use super::{IssuerFixture, claims};

#[tokio::test]
async fn a_password_log_in_answers_as_keycloak_does() {
    let fixture = IssuerFixture::new().await;
    let answer = fixture.log_in("portal").await;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["refresh_expires_in"], 1_800);
    assert_eq!(answer["not-before-policy"], 0);
    assert_eq!(answer["scope"], "openid profile email");

    let now = fixture.clock.now().unix_timestamp();
    let access = claims(&answer["access_token"]);
    for (name, expected) in [
        ("iss", json!(fixture.idp.issuer())),
        ("sub", json!(USER)),
        ("typ", json!("Bearer")),
        ("azp", json!("portal")),
        ("aud", json!([AUDIENCE, "account"])),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("sid", answer["session_state"].clone()),
        ("scope", json!("openid profile email")),
        ("preferred_username", json!("mia")),
        ("email", json!("mia@shop.example")),
        ("merchant_id", json!(MERCHANT)),
        ("given_name", json!("Mia")),
        ("realm_access", json!({"roles": ["merchant"]})),
    ] {
        assert_eq!(access[name], expected, "{name}");
    }
    let (id, refresh) = (claims(&answer["id_token"]), claims(&answer["refresh_token"]));
    assert_eq!((&id["typ"], &id["aud"], &id["sub"]), (&json!("ID"), &json!("portal"), &json!(USER)));
    assert_eq!((&refresh["typ"], &refresh["aud"]), (&json!("Refresh"), &json!(fixture.idp.issuer())));
    assert_ne!(access["jti"], id["jti"]);

    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(verifier(fixture.idp.issuer(), &fixture.clock).verify(token).await, mia());
}

#[tokio::test]
async fn an_id_token_needs_the_openid_scope() {
    let fixture = IssuerFixture::new().await;
    let form =
        [("grant_type", "password"), ("client_id", "portal"), ("username", "mia"), ("password", "correct horse")];
    let (status, answer) = fixture.token(&form).await;
    assert_eq!((status, answer.get("id_token"), &answer["scope"]), (200, None, &json!("profile email")));
}

#[tokio::test]
async fn errors_are_those_of_rfc_6749() {
    let fixture = IssuerFixture::new().await;
    let password = |username, password| {
        vec![("grant_type", "password"), ("client_id", "portal"), ("username", username), ("password", password)]
    };
    let twice = [password("mia", "correct horse"), vec![("username", "mia")]].concat();
    for (form, status, error) in [
        (password("mia", "wrong"), 400, "invalid_grant"),
        (password("nobody", "correct horse"), 400, "invalid_grant"),
        (password("mia", ""), 400, "invalid_request"),
        (twice, 400, "invalid_request"),
        (vec![], 400, "invalid_request"),
        (vec![("grant_type", "password")], 401, "invalid_client"),
        (vec![("grant_type", "password"), ("client_id", "nobody")], 401, "invalid_client"),
        (vec![("grant_type", "implicit"), ("client_id", "portal")], 400, "unsupported_grant_type"),
        (vec![("grant_type", "client_credentials"), ("client_id", "portal")], 400, "unauthorized_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", "machine")], 401, "invalid_client"),
        (
            vec![("grant_type", "client_credentials"), ("client_id", "machine"), ("client_secret", "wrong")],
            401,
            "invalid_client",
        ),
        (vec![("grant_type", "password"), ("client_id", "portal"), ("client_secret", "x")], 401, "invalid_client"),
        (vec![("grant_type", "refresh_token"), ("client_id", "portal")], 400, "invalid_request"),
    ] {
        let (answered, body) = fixture.token(&form).await;
        assert_eq!((answered, &body["error"]), (status, &json!(error)), "{form:?}");
        assert!(body["error_description"].is_string(), "{form:?}");
    }
}

#[tokio::test]
async fn a_client_gets_a_token_for_its_service_account_by_form_or_basic() {
    let fixture = IssuerFixture::new().await;
    let grant = ("grant_type", "client_credentials");
    let by_form = fixture.token(&[grant, ("client_id", "machine"), ("client_secret", "battery&staple+")]).await;
    // RFC 6749, section 2.3.1: both parts are form-encoded before they become a header.
    let basic = fixture.http.post(fixture.endpoint("token")).basic_auth("machine", Some("battery%26staple%2B"));
    let by_basic = super::json(basic.form(&[grant]).send().await.expect("answered")).await;
    let mut subjects = Vec::new();
    for (status, answer) in [by_form, by_basic] {
        assert_eq!(status, 200, "{answer}");
        assert_eq!((answer.get("refresh_token"), &answer["refresh_expires_in"]), (None, &json!(0)));
        let access = claims(&answer["access_token"]);
        assert_eq!(access["preferred_username"], "service-account-machine");
        assert_eq!((&access["client_id"], access.get("sid")), (&json!("machine"), None));
        let token = answer["access_token"].as_str().expect("a token");
        let principal = verifier(fixture.idp.issuer(), &fixture.clock).verify(token).await.expect("good");
        assert_eq!(principal.merchant_id, Some(MerchantId(MERCHANT)));
        subjects.push(principal.user_id);
    }
    assert_eq!(subjects[0], subjects[1], "both methods use one account");

    let wrong = fixture.http.post(fixture.endpoint("token")).basic_auth("machine", Some("wrong")).form(&[grant]);
    let refused = wrong.send().await.expect("answered");
    assert!(refused.headers().contains_key("www-authenticate"));
    assert_eq!(refused.status(), 401);
}

#[tokio::test]
async fn only_its_own_client_refreshes_a_session() {
    let fixture = IssuerFixture::new().await;
    let answer = fixture.log_in("portal").await;
    let token = answer["refresh_token"].as_str().expect("a token");
    let refresh = |client_id, token| {
        let form = [("grant_type", "refresh_token"), ("client_id", client_id), ("refresh_token", token)];
        let fixture = &fixture;
        async move { fixture.token(&form).await }
    };
    let (status, refused) = refresh("other", token).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")), "another client's token");
    let access_token = answer["access_token"].as_str().expect("a token");
    assert_eq!(refresh("portal", access_token).await.0, 400, "not a refresh token");

    fixture.clock.advance(Duration::seconds(1_799));
    let (status, renewed) = refresh("portal", token).await;
    assert_eq!(status, 200, "{renewed}");
    assert_eq!(claims(&renewed["access_token"])["sub"], USER);
    assert_eq!(renewed["session_state"], answer["session_state"]);
    assert_ne!(claims(&renewed["access_token"])["jti"], claims(&answer["access_token"])["jti"]);

    fixture.clock.advance(Duration::seconds(1));
    assert_eq!(refresh("portal", token).await.0, 400, "the first refresh token has expired");
    let second = renewed["refresh_token"].as_str().expect("a token");
    assert_eq!(refresh("portal", second).await.0, 200);
}
