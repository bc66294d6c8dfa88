//! Fake identity provider that counts requests and fails on demand.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::support::ANY_PORT;

/// How the provider answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Behaviour {
    /// With a correct response.
    Answer,
    /// With a correct response, after a call of [`FakeProvider::open_gate`].
    AnswerWhenOpened,
    /// With status 500.
    Fail,
    /// Never.
    Hang,
    /// With a key set of more than a megabyte.
    Huge,
    /// With a redirect to another key set.
    RedirectTo(String),
    /// With a discovery document whose members are changed like this.
    Discovery(Value),
}

struct State {
    issuer: String,
    behaviour: Mutex<Behaviour>,
    jwks: Mutex<Value>,
    discoveries: AtomicUsize,
    key_fetches: AtomicUsize,
    gate: Semaphore,
    token_answer: Mutex<TokenAnswer>,
    accept_headers: Mutex<Vec<(String, String)>>,
}

/// How the token endpoint answers.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenAnswer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: String,
}

pub(super) struct FakeProvider {
    state: Data<State>,
    handle: ServerHandle,
}

impl FakeProvider {
    pub(super) fn start(jwks: Value) -> Self {
        Self::start_at(ANY_PORT, jwks)
    }

    pub(super) fn start_at(addr: SocketAddr, jwks: Value) -> Self {
        let listener = TcpListener::bind(addr).expect("a free port");
        let state = Data::new(State {
            issuer: format!("http://{}", listener.local_addr().expect("bound")),
            behaviour: Mutex::new(Behaviour::Answer),
            jwks: Mutex::new(jwks),
            discoveries: AtomicUsize::new(0),
            key_fetches: AtomicUsize::new(0),
            gate: Semaphore::new(0),
            token_answer: Mutex::default(),
            accept_headers: Mutex::default(),
        });
        let shared = state.clone();
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .route("/.well-known/openid-configuration", web::get().to(discovery))
                .route("/certs", web::get().to(certs))
                .route("/token", web::post().to(token))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).expect("listening").run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { state, handle }
    }

    pub(super) fn issuer(&self) -> &str {
        &self.state.issuer
    }

    pub(super) fn set_behaviour(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    pub(super) fn set_keys(&self, jwks: Value) {
        *self.state.jwks.lock().unwrap_or_else(PoisonError::into_inner) = jwks;
    }

    /// Sets the response of the token endpoint.
    pub(super) fn set_token_answer(&self, answer: TokenAnswer) {
        *self.state.token_answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The path and `Accept` header of each request.
    pub(super) fn accept_headers(&self) -> Vec<(String, String)> {
        self.state.accept_headers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn open_gate(&self) {
        self.state.gate.add_permits(1_000);
    }

    /// Number of requests for the discovery document and for the keys.
    pub(super) fn request_counts(&self) -> (usize, usize) {
        (self.state.discoveries.load(Ordering::SeqCst), self.state.key_fetches.load(Ordering::SeqCst))
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl State {
    fn record_accept(&self, request: &HttpRequest) {
        let accept = request.headers().get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let seen = (request.path().to_owned(), accept.to_owned());
        self.accept_headers.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn token(state: Data<State>, request: HttpRequest) -> HttpResponse {
    state.record_accept(&request);
    let answer = state.token_answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).expect("a status"));
    if let Some(retry_after) = answer.retry_after {
        response.insert_header(("Retry-After", retry_after));
    }
    response.content_type("application/json").body(answer.body)
}

async fn discovery(state: Data<State>, request: HttpRequest) -> HttpResponse {
    state.record_accept(&request);
    state.discoveries.fetch_add(1, Ordering::SeqCst);
    let issuer = &state.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth"),
        "jwks_uri": format!("{issuer}/certs"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    match state.behaviour() {
        Behaviour::Fail => return HttpResponse::InternalServerError().finish(),
        Behaviour::Hang => std::future::pending().await,
        Behaviour::AnswerWhenOpened => state.gate.acquire().await.expect("never closed").forget(),
        Behaviour::Discovery(changes) => document = super::support::changed(document, changes),
        Behaviour::Answer | Behaviour::Huge | Behaviour::RedirectTo(_) => {}
    }
    HttpResponse::Ok().json(document)
}

async fn certs(state: Data<State>, request: HttpRequest) -> HttpResponse {
    state.record_accept(&request);
    state.key_fetches.fetch_add(1, Ordering::SeqCst);
    let jwks = state.jwks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match state.behaviour() {
        Behaviour::Huge => {
            let padded = super::support::changed(jwks, json!({"padding": "x".repeat(2 * 1024 * 1024)}));
            HttpResponse::Ok().json(padded)
        }
        Behaviour::RedirectTo(location) => HttpResponse::Found().insert_header(("Location", location)).finish(),
        _ => HttpResponse::Ok().json(jwks),
    }
}
