//! No code, token, key or secret in any line of the log, at any level: the whole server, with everything it does and
//! refuses, under a subscriber that hears all.
//!
//! A binary of its own, because the subscriber is the process's: it must hear nobody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests"
)]

#[allow(dead_code, unused_imports, unused_macros, reason = "shared with the suites, which use all of it")]
#[path = "suites/sessions/world.rs"]
mod world;

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

use world::{SECRET, World, client_session, end, initiate, log_out, post};

/// Everything that was written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

impl Lines {
    /// Hears every level of every crate, ours or not, spans with all of their fields included. Only the HTTP client is
    /// left out: the portal and the provider's other callers, who are the test, send with it too.
    fn listening() -> Self {
        let lines = Self::default();
        let servers =
            filter_fn(|metadata| !["hyper", "reqwest"].iter().any(|client| metadata.target().starts_with(client)));
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::FULL);
        tracing_subscriber::registry().with(servers).with(CallSpans).with(layer.with_writer(lines.clone())).init();
        lines
    }

    fn taken(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// What must be in no line.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn keep(&mut self, what: &'static str, secret: &str) -> String {
        self.0.push((what, secret.to_owned()));
        secret.to_owned()
    }

    /// A token: nobody may log a part of it either.
    fn keep_token(&mut self, what: &'static str, token: &str) -> String {
        for part in token.split('.').skip(1) {
            self.keep(what, part);
        }
        token.to_owned()
    }

    async fn keep_session_key(&mut self, world: &World, token: &str) {
        let oidc = OidcSettings::new(world.idp.issuer(), "pos-activation");
        let verifier = OidcVerifier::new(oidc, world.clock.clone()).unwrap();
        let key = verifier.verify(token).await.unwrap().session.key;
        self.keep("session key", &key.to_hex());
        self.keep("session key's bytes", format!("{:?}", key.0).trim_matches(['[', ']']));
    }
}

async fn raw(server: &TestServer, path: &str, token: Option<&str>, body: String) -> Answer {
    let request = server.request(Method::POST, path).header("content-type", "application/json").body(body);
    send(if let Some(token) = token { request.bearer_auth(token) } else { request }).await
}

/// A terminal and a merchant's portal, with what goes right and what does not. Answers the trace ids of its calls.
async fn pairing(world: &World, server: &TestServer, secrets: &mut Secrets) -> Vec<Answer> {
    let id = server.device().await;
    let code = async || server.code(&id).await;
    let ann = secrets.keep_token("access token", &world.log_in("ann").await.access);
    let eve = secrets.keep_token("another's access token", &world.log_in("eve").await.access);
    secrets.keep_session_key(world, &ann).await;
    secrets.keep_session_key(world, &eve).await;
    let mut answers = vec![server.terminal(Method::POST, "/pos/bootstrap", &id).await];
    answers.push(server.claim(&ann, &json!({"pairing_code": "ZZZZZZ"})).await);
    answers.push(initiate(server, &ann).await);
    answers.push(initiate(server, &eve).await);
    answers.push(post(server, "/session/initiate", &ann, &json!({"host": "elsewhere.example"})).await);
    let retired = secrets.keep("retired code", &code().await);
    let shown = secrets.keep("code", &code().await);
    answers.push(server.terminal(Method::GET, "/pos/status", &id).await);
    let guess = secrets.keep("guessed code", "QQ7QQ9");
    for typed in [&retired, &guess] {
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
    let tampered = secrets.keep_token("tampered token", &ann.replacen('.', ".e30", 1));
    for token in [&tampered, &format!("{ann}x"), &format!("x{ann}"), &guess] {
        answers.push(server.claim(token, &json!({ "pairing_code": shown })).await);
    }
    answers.push(raw(server, "/pos/claim", None, format!("{{\"pairing_code\": \"{shown}\"}}")).await);
    let claimed = server.claim(&ann, &json!({ "pairing_code": shown })).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    answers.extend([claimed, server.claim(&ann, &json!({ "pairing_code": shown })).await]);
    let late = server.device().await;
    let expired = secrets.keep("expired code", &server.code(&late).await);
    world.advance(301);
    let ann = secrets.keep_token("later access token", &world.log_in("ann").await.access);
    secrets.keep_session_key(world, &ann).await;
    answers.push(initiate(server, &ann).await);
    answers.push(server.claim(&ann, &json!({ "pairing_code": expired })).await);
    answers.push(end(server, &ann).await);
    answers
}

/// Machines and logouts, likewise.
async fn sessions(world: &World, server: &TestServer, secrets: &mut Secrets) -> Vec<Answer> {
    secrets.keep("client secret", SECRET);
    secrets.keep("client secret in a form", "battery%26staple%2B");
    let till = client_session(server, "till", SECRET).await;
    assert_eq!(till.status, 200, "{till:?}");
    let token = secrets.keep_token("machine's token", till.json()["access_token"].as_str().unwrap());
    secrets.keep_session_key(world, &token).await;
    let wrong = secrets.keep("wrong client secret", "wrong-horse-battery");
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
    let ann = world.log_in("ann").await;
    let access = secrets.keep_token("access token", &ann.access);
    secrets.keep_token("refresh token", &ann.refresh);
    secrets.keep("the provider's session", &ann.session_id);
    secrets.keep_session_key(world, &access).await;
    answers.push(initiate(server, &access).await);
    let good = secrets.keep_token("logout token", &world.logout_token(&json!({"sid": ann.session_id, "sub": "ann"})));
    let tampered = secrets.keep_token("tampered logout token", &good.replacen('.', ".e30", 1));
    let foreign = secrets.keep_token("logout token of nobody", &world.logout_token(&json!({"aud": "nobody"})));
    for token in [&tampered, &foreign, &access, &good] {
        answers.push(log_out(server, token).await);
    }
    answers.push(initiate(server, &access).await);
    let whole = secrets.keep_token("logout token of a user", &world.logout_token(&json!({"sub": "ann"})));
    answers.push(log_out(server, &whole).await);
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_the_log_has_a_secret() {
    let log = Lines::listening();
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        let world = World::on(store).await;
        log.taken();
        let server = world.server();
        let mut secrets = Secrets::default();
        let mut answers = pairing(&world, &server, &mut secrets).await;
        answers.extend(sessions(&world, &server, &mut secrets).await);
        server.stop().await;
        tracing::trace!(target: "pos_canary", "the last line");
        let lines = log.taken();

        for status in [200, 400, 401, 403] {
            assert!(answers.iter().any(|answer| answer.status.as_u16() == status), "{status} was not tried");
        }
        for answer in &answers {
            assert_ne!(answer.status.as_u16() / 100, 5, "{answer:?}");
            assert!(lines.contains(answer.header("x-trace-id").unwrap()), "nothing of this call is heard: {answer:?}");
        }
        for heard in [
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
            assert!(lines.contains(heard), "not heard: {heard}\n{lines}");
        }
        assert!(secrets.0.len() > 30);
        for (what, secret) in &secrets.0 {
            assert!(secret.len() >= 6, "{what} is too short to look for");
            let found: Vec<&str> = lines.lines().filter(|line| line.contains(secret.as_str())).collect();
            assert!(found.is_empty(), "{what} is in the log: {found:#?}");
        }
    }
}

#[test]
fn what_is_listened_with_hears_secrets() {
    let lines = Lines::default();
    let layer = tracing_subscriber::fmt::layer().with_span_events(FmtSpan::FULL).with_writer(lines.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let _span = tracing::trace_span!("around", field = "in a field").entered();
        tracing::trace!("in a message");
    });
    let heard = lines.taken();
    assert!(heard.contains("in a field") && heard.contains("in a message"), "{heard}");
}
