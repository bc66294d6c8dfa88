//! Redaction of secrets: no pairing code, token, key or secret is logged at any level, for accepted and rejected requests.
//!
//! A separate binary, because the subscriber is global to the process and must record no other test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

#[allow(dead_code, unused_imports, unused_macros, reason = "shared with the suites, which use all of it")]
#[path = "sessions/fixture.rs"]
mod fixture;

use std::io;
use std::sync::{Arc, Mutex};

use pos_adapters::http::CallSpans;
use pos_adapters::identity::oidc::{OidcSettings, OidcVerifier};
use pos_port_identity::TokenVerifier as _;
use pos_tests::server::{Answer, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use fixture::{SECRET, SessionFixture, client_session, end, initiate, log_out, post};

/// The log output of the process.
#[derive(Clone, Default)]
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for CapturedLog {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl CapturedLog {
    /// Records all levels of all crates, and all fields of spans. The HTTP client is excluded, because the test itself sends
    /// its requests with it.
    fn install() -> Self {
        let lines = Self::default();
        let server_only =
            filter_fn(|metadata| !["hyper", "reqwest"].iter().any(|client| metadata.target().starts_with(client)));
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::FULL);
        tracing_subscriber::registry().with(server_only).with(CallSpans).with(layer.with_writer(lines.clone())).init();
        lines
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// Secrets that must not be logged, with their names.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn add(&mut self, name: &'static str, secret: &str) -> String {
        self.0.push((name, secret.to_owned()));
        secret.to_owned()
    }

    /// Adds the payload and the signature of a token, which must not be logged either.
    fn add_token(&mut self, name: &'static str, token: &str) -> String {
        for part in token.split('.').skip(1) {
            self.add(name, part);
        }
        token.to_owned()
    }

    async fn add_session_key(&mut self, fixture: &SessionFixture, token: &str) {
        let oidc = OidcSettings::new(fixture.idp.issuer(), "pos-activation");
        let verifier = OidcVerifier::new(oidc, fixture.app.clock.clone()).unwrap();
        let key = verifier.verify(token).await.unwrap().session.key;
        self.add("session key", &key.to_hex());
        self.add("session key's bytes", format!("{:?}", key.0).trim_matches(['[', ']']));
    }
}

async fn raw(server: &TestServer, path: &str, token: Option<&str>, body: String) -> Answer {
    let request = server.request(Method::POST, path).header("content-type", "application/json").body(body);
    send(if let Some(token) = token { request.bearer_auth(token) } else { request }).await
}

/// Sends accepted and rejected requests of a terminal and of a merchant's portal. Returns the responses.
async fn run_pairing(fixture: &SessionFixture, server: &TestServer, secrets: &mut Secrets) -> Vec<Answer> {
    let id = server.device().await;
    let code = async || server.code(&id).await;
    let ann = secrets.add_token("access token", &fixture.log_in("ann").await.access);
    let eve = secrets.add_token("another's access token", &fixture.log_in("eve").await.access);
    secrets.add_session_key(fixture, &ann).await;
    secrets.add_session_key(fixture, &eve).await;
    let mut answers = vec![server.terminal(Method::POST, "/pos/bootstrap", &id).await];
    answers.push(server.claim(&ann, &json!({"pairing_code": "ZZZZZZ"})).await);
    answers.push(initiate(server, &ann).await);
    answers.push(initiate(server, &eve).await);
    answers.push(post(server, "/session/initiate", &ann, &json!({"host": "elsewhere.example"})).await);
    let superseded = secrets.add("superseded code", &code().await);
    let shown = secrets.add("code", &code().await);
    answers.push(server.terminal(Method::GET, "/pos/status", &id).await);
    let guess = secrets.add("guessed code", "QQ7QQ9");
    for typed in [&superseded, &guess] {
        answers.push(server.claim(&ann, &json!({ "pairing_code": typed })).await);
    }
    answers.push(server.claim(&eve, &json!({ "pairing_code": shown })).await);
    answers.push(server.claim(&ann, &json!({ "pairing_code": shown, "device_id": "POS-00000000" })).await);
    for body in [
        format!("\"{shown}\""),
        format!("{{\"pairing_code\": \"{shown}\""),
        format!("{{\"pairing_code\": [\"{shown}\"]}}"),
        format!("{{\"pairing_code\": \"{shown}{shown}\"}}"),
        format!("{{\"{shown}\": 1, \"{shown}\": 2}}"),
    ] {
        answers.push(raw(server, "/pos/claim", Some(&ann), body).await);
    }
    let tampered = secrets.add_token("tampered token", &ann.replacen('.', ".e30", 1));
    for token in [&tampered, &format!("{ann}x"), &format!("x{ann}"), &guess] {
        answers.push(server.claim(token, &json!({ "pairing_code": shown })).await);
    }
    answers.push(raw(server, "/pos/claim", None, format!("{{\"pairing_code\": \"{shown}\"}}")).await);
    let claimed = server.claim(&ann, &json!({ "pairing_code": shown })).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    answers.extend([claimed, server.claim(&ann, &json!({ "pairing_code": shown })).await]);
    let late = server.device().await;
    let expired = secrets.add("expired code", &server.code(&late).await);
    fixture.advance(301);
    let ann = secrets.add_token("later access token", &fixture.log_in("ann").await.access);
    secrets.add_session_key(fixture, &ann).await;
    answers.push(initiate(server, &ann).await);
    answers.push(server.claim(&ann, &json!({ "pairing_code": expired })).await);
    answers.push(end(server, &ann).await);
    answers
}

/// The same for API clients and logouts.
async fn run_sessions(fixture: &SessionFixture, server: &TestServer, secrets: &mut Secrets) -> Vec<Answer> {
    secrets.add("client secret", SECRET);
    secrets.add("client secret in a form", "battery%26staple%2B");
    let till = client_session(server, "till", SECRET).await;
    assert_eq!(till.status, 200, "{till:?}");
    let token = secrets.add_token("API client's token", till.json()["access_token"].as_str().unwrap());
    secrets.add_session_key(fixture, &token).await;
    let wrong = secrets.add("wrong client secret", "wrong-horse-battery");
    let mut answers = vec![till];
    for (id, secret) in [("till", &*wrong), ("nobody", SECRET), ("renamed", SECRET), ("elsewhere", SECRET)] {
        answers.push(client_session(server, id, secret).await);
    }
    for body in
        [json!({"client_id": 5, "client_secret": SECRET}), json!({"client_id": "till", "client_secret": [SECRET]})]
    {
        answers.push(raw(server, "/client/session", None, body.to_string()).await);
    }
    answers.push(raw(server, "/client/session", None, format!("{{\"client_secret\": \"{SECRET}\"")).await);
    let ann = fixture.log_in("ann").await;
    let access = secrets.add_token("access token", &ann.access);
    secrets.add_token("refresh token", &ann.refresh);
    secrets.add("the provider's session", &ann.session_id);
    secrets.add_session_key(fixture, &access).await;
    answers.push(initiate(server, &access).await);
    let good = secrets.add_token("logout token", &fixture.logout_token(&json!({"sid": ann.session_id, "sub": "ann"})));
    let tampered = secrets.add_token("tampered logout token", &good.replacen('.', ".e30", 1));
    let foreign = secrets.add_token("logout token of nobody", &fixture.logout_token(&json!({"aud": "nobody"})));
    for token in [&tampered, &foreign, &access, &good] {
        answers.push(log_out(server, token).await);
    }
    answers.push(initiate(server, &access).await);
    let whole = secrets.add_token("logout token of a user", &fixture.logout_token(&json!({"sub": "ann"})));
    answers.push(log_out(server, &whole).await);
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_logged() {
    let log = CapturedLog::install();
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        let fixture = SessionFixture::new(store).await;
        log.take();
        let server = fixture.server();
        let mut secrets = Secrets::default();
        let mut answers = run_pairing(&fixture, &server, &mut secrets).await;
        answers.extend(run_sessions(&fixture, &server, &mut secrets).await);
        server.stop().await;
        tracing::trace!(target: "pos_canary", "the last line");
        let lines = log.take();

        for status in [200, 400, 401, 403] {
            assert!(answers.iter().any(|answer| answer.status.as_u16() == status), "{status} was not tried");
        }
        for answer in &answers {
            assert_ne!(answer.status.as_u16() / 100, 5, "{answer:?}");
            assert!(lines.contains(answer.header("x-trace-id").unwrap()), "this request was not logged: {answer:?}");
        }
        for expected in [
            "the last line",
            "device claimed",
            "pairing code issued",
            "session initiated",
            "client session initiated",
            "session ended",
            "logged a session out",
            "logout token rejected",
            "till",
            "user_id=ann",
        ] {
            assert!(lines.contains(expected), "not logged: {expected}\n{lines}");
        }
        assert!(secrets.0.len() > 30);
        for (name, secret) in &secrets.0 {
            assert!(secret.len() >= 6, "{name} is too short to search for");
            let found: Vec<&str> = lines.lines().filter(|line| line.contains(secret.as_str())).collect();
            assert!(found.is_empty(), "{name} is in the log: {found:#?}");
        }
    }
}

#[test]
fn the_recorder_captures_messages_and_span_fields() {
    let log = CapturedLog::default();
    let layer = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL).with_writer(log.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let _span = tracing::trace_span!("around", field = "in a field").entered();
        tracing::trace!("in a message");
    });
    let output = log.take();
    assert!(output.contains("in a field") && output.contains("in a message"), "{output}");
}
