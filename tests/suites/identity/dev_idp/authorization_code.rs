//! Authorization code grant of the development issuer, with the browser's part.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::reqwest::Response;
use pos_port_identity::TokenVerifier;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::Duration;
use url::Url;

use super::super::support::{mia, verifier};
use super::{IssuerFixture, claims};

const CALLBACK: &str = "http://localhost:3000/callback?from=idp";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn auth_query() -> Vec<(&'static str, String)> {
    [
        ("client_id", "portal"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid"),
        ("state", "st&te"),
        ("nonce", "n-1"),
        ("code_challenge_method", "S256"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into_iter()
    .chain([("code_challenge", challenge())])
    .collect()
}

/// The query with one parameter changed or removed.
fn auth_query_with(name: &str, value: Option<&str>) -> Vec<(&'static str, String)> {
    let changed = auth_query().into_iter().filter_map(|(known, original)| match value {
        _ if known != name => Some((known, original)),
        Some(value) => Some((known, value.to_owned())),
        None => None,
    });
    changed.collect()
}

impl IssuerFixture {
    async fn submit(&self, query: &[(&str, String)], password: &str) -> Response {
        let form = [("username", "mia"), ("password", password)];
        self.http.post(self.endpoint("auth")).query(query).form(&form).send().await.expect("answered")
    }

    /// Logs in and returns the code.
    async fn code(&self) -> String {
        let redirect = location(&self.submit(&auth_query(), "correct horse").await).expect("redirected");
        parameter(&redirect, "code").expect("a code")
    }

    async fn redeem(&self, code: &str, changes: &[(&str, Option<&str>)]) -> (u16, Value) {
        let form: Vec<_> = [
            ("grant_type", "authorization_code"),
            ("client_id", "portal"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ]
        .into_iter()
        .filter_map(|(name, value)| match changes.iter().find(|(changed, _)| *changed == name) {
            Some((_, changed)) => changed.map(|changed| (name, changed)),
            None => Some((name, value)),
        })
        .collect();
        self.token(&form).await
    }
}

fn location(response: &Response) -> Option<Url> {
    let header = response.headers().get("location")?;
    Url::parse(header.to_str().ok()?).ok()
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[tokio::test]
async fn a_log_in_redirects_with_a_code_for_tokens() {
    let fixture = IssuerFixture::new().await;
    let form = fixture.http.get(fixture.endpoint("auth")).query(&auth_query()).send().await.expect("answered");
    assert_eq!(form.status(), 200);
    assert!(form.headers()["content-type"].to_str().is_ok_and(|html| html.starts_with("text/html")));
    let page = form.text().await.expect("read");
    assert!(page.contains(r#"name="username""#) && page.contains("portal") && !page.contains("{{"), "{page}");

    let again = fixture.submit(&auth_query(), "wrong").await;
    assert_eq!((again.status().as_u16(), location(&again)), (200, None));
    assert!(again.text().await.expect("read").contains("Invalid username or password"));

    let response = fixture.submit(&auth_query(), "correct horse").await;
    assert_eq!(response.status(), 302);
    let redirect = location(&response).expect("redirected");
    assert_eq!(redirect.origin().ascii_serialization(), "http://localhost:3000");
    assert_eq!(parameter(&redirect, "from").as_deref(), Some("idp"), "the redirect URI keeps its own query");
    assert_eq!(parameter(&redirect, "state").as_deref(), Some("st&te"));
    assert_eq!(parameter(&redirect, "iss").as_deref(), Some(fixture.idp.issuer()));

    let (status, answer) = fixture.redeem(&parameter(&redirect, "code").expect("a code"), &[]).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(parameter(&redirect, "session_state").map(Value::from), Some(answer["session_state"].clone()));
    assert_eq!(claims(&answer["id_token"])["nonce"], "n-1");
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(verifier(fixture.idp.issuer(), &fixture.clock).verify(token).await, mia());
}

#[tokio::test]
async fn a_code_is_bound_to_client_redirect_uri_and_verifier() {
    let fixture = IssuerFixture::new().await;
    for changes in [
        ("code_verifier", Some("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK")),
        ("code_verifier", Some("")),
        ("code_verifier", None),
        ("redirect_uri", Some("http://localhost:3000/callback")),
        ("redirect_uri", None),
        ("client_id", Some("other")),
        ("code", Some("made-up")),
    ] {
        let (status, refused) = fixture.redeem(&fixture.code().await, &[changes]).await;
        assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")), "{changes:?}");
    }
}

#[tokio::test]
async fn a_failed_attempt_consumes_the_code() {
    let fixture = IssuerFixture::new().await;
    let code = fixture.code().await;
    assert_eq!(fixture.redeem(&code, &[("code_verifier", None)]).await.0, 400);
    assert_eq!(fixture.redeem(&code, &[]).await.0, 400);
}

#[tokio::test]
async fn a_code_used_twice_ends_the_session() {
    let fixture = IssuerFixture::new().await;
    let code = fixture.code().await;
    let (status, answer) = fixture.redeem(&code, &[]).await;
    assert_eq!(status, 200);
    let token = answer["refresh_token"].as_str().expect("a token");
    let refresh = [("grant_type", "refresh_token"), ("client_id", "portal"), ("refresh_token", token)];
    assert_eq!(fixture.token(&refresh).await.0, 200);

    let (status, refused) = fixture.redeem(&code, &[]).await;
    assert_eq!((status, &refused["error"]), (400, &json!("invalid_grant")));
    assert_eq!(fixture.token(&refresh).await.0, 400, "the tokens of the first use are revoked");
}

#[tokio::test]
async fn a_code_expires_after_a_minute() {
    let fixture = IssuerFixture::new().await;
    let (in_time, late) = (fixture.code().await, fixture.code().await);
    fixture.clock.advance(Duration::seconds(60) - Duration::microseconds(1));
    assert_eq!(fixture.redeem(&in_time, &[]).await.0, 200);
    fixture.clock.advance(Duration::microseconds(1));
    assert_eq!(fixture.redeem(&late, &[]).await.0, 400);
}

/// The issuer never redirects to an unregistered URI, not even with an error.
#[tokio::test]
async fn an_unknown_client_or_redirect_uri_is_shown_to_the_user_only() {
    let fixture = IssuerFixture::new().await;
    for (name, value) in [
        ("client_id", Some("nobody")),
        ("client_id", None),
        ("redirect_uri", Some("http://localhost:3000/callback")),
        ("redirect_uri", Some("http://localhost:3000/callback?from=idp&x=1")),
        ("redirect_uri", Some("http://localhost:4000/callback")),
        ("redirect_uri", None),
    ] {
        let query = auth_query_with(name, value);
        let page = fixture.http.get(fixture.endpoint("auth")).query(&query).send().await.expect("answered");
        let submitted = fixture.submit(&query, "correct horse").await;
        for response in [page, submitted] {
            assert_eq!((response.status().as_u16(), location(&response)), (400, None), "{name}={value:?}");
        }
    }
}

#[tokio::test]
async fn every_other_error_is_sent_to_the_client() {
    let fixture = IssuerFixture::new().await;
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "unsupported_response_type"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
    ] {
        let response = fixture.submit(&auth_query_with(name, value), "correct horse").await;
        let redirect = location(&response).expect("redirected");
        assert_eq!(parameter(&redirect, "error").as_deref(), Some(error), "{name}={value:?}");
        assert_eq!(parameter(&redirect, "state").as_deref(), Some("st&te"));
        assert_eq!(parameter(&redirect, "code"), None, "{name}={value:?}");
    }
}
