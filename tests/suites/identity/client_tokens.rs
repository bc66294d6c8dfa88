//! Responses of the provider's token endpoint and their mapping to errors.

use std::time::Duration;

use pos_adapters::identity::oidc::{OidcClientTokens, OidcSettings};
use pos_domain::shared::ApiClientId;
use pos_port_identity::{ClientTokenError, ClientTokens as _, TokenVerifier as _};
use serde_json::json;

use super::fake_provider::{FakeProvider, TokenAnswer};
use super::support::{AUDIENCE, clock, good_claims, mint, start_idp, verifier};

/// The result of a client token request: `Ok` with the error code of a rejection, or `Err` with the time to wait.
async fn outcome(answer: TokenAnswer) -> Result<String, Option<Duration>> {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    provider.set_token_answer(answer);
    let tokens = OidcClientTokens::new(&OidcSettings::new(provider.issuer(), AUDIENCE), clock).unwrap();
    let till = ApiClientId::parse("till").unwrap();
    match tokens.token_for(&till, &"secret".into()).await {
        Err(ClientTokenError::Refused(code)) => Ok(code),
        Err(ClientTokenError::Unavailable { retry_after, .. }) => Err(retry_after),
        Ok(_) => panic!("a token"),
    }
}

fn error(status: u16, code: &str, retry_after: Option<&str>) -> TokenAnswer {
    let retry_after = retry_after.map(str::to_owned);
    TokenAnswer { status, retry_after, body: json!({ "error": code }).to_string() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_credential_errors_reject_the_client() {
    for (status, code) in [(401, "invalid_client"), (400, "unauthorized_client"), (400, "invalid_grant")] {
        assert_eq!(outcome(error(status, code, Some("7"))).await, Ok(code.to_owned()), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_response_is_retryable() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (answer, wait) in [
        (error(429, "rate_limited", Some("7")), seconds(7)),
        (error(408, "request_timeout", None), None),
        (error(429, "invalid_client", None), None),
        (error(503, "invalid_client", Some("60")), seconds(60)),
        (error(503, "temporarily_unavailable", Some("Thu, 01 Jan 2026 12:01:30 GMT")), seconds(90)),
        (error(503, "server_error", Some("Thu, 01 Jan 2026 11:00:00 GMT")), seconds(1)),
        (error(503, "server_error", Some("soon")), None),
        (error(503, "server_error", Some("999999999")), seconds(3_600)),
        (error(400, "invalid_request", None), None),
        (error(400, "invalid_scope", None), None),
        (error(400, "unsupported_grant_type", None), None),
        (error(403, "access_denied", None), None),
        (error(400, "slow_down", None), None),
        (TokenAnswer { status: 429, retry_after: Some("5".to_owned()), body: "busy".to_owned() }, seconds(5)),
        (TokenAnswer { status: 200, retry_after: None, body: "{}".to_owned() }, None),
        (TokenAnswer { status: 500, retry_after: None, body: String::new() }, None),
    ] {
        assert_eq!(outcome(answer.clone()).await, Err(wait), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_sends_its_accept_header() {
    let clock = clock();
    let idp = start_idp(&clock).await;
    let provider = FakeProvider::start(idp.jwks());
    let token = mint(&idp, &good_claims(provider.issuer(), &clock));
    verifier(provider.issuer(), &clock).verify(&token).await.unwrap();
    provider.set_token_answer(error(401, "invalid_client", None));
    let tokens = OidcClientTokens::new(&OidcSettings::new(provider.issuer(), AUDIENCE), clock.clone()).unwrap();
    assert!(tokens.token_for(&ApiClientId::parse("till").unwrap(), &"secret".into()).await.is_err());
    let accept_headers = provider.accept_headers();
    for path in ["/.well-known/openid-configuration", "/certs", "/token"] {
        let accepts: Vec<_> =
            accept_headers.iter().filter(|(seen, _)| seen == path).map(|(_, accept)| accept).collect();
        assert!(!accepts.is_empty(), "{path}");
        for accept in accepts {
            assert!(accept.contains("application/json"), "{path}: {accept}");
            assert_eq!(accept.contains("application/jwk-set+json"), path == "/certs", "{path}: {accept}");
        }
    }
}
