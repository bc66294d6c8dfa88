//! Portal client of one merchant user: logs in, initiates the session, and sends requests.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::{ApiError, CallError};
use rand::RngExt as _;
use rand::rngs::StdRng;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::disconnecting_clients::{AbandonedRequest, DISCONNECTED};
use crate::history::CallInfo;
use crate::issuer::Token;
use crate::model::{Instant, SECOND};
use crate::people::Person;
use crate::replica::Replica;
use crate::scenario::ScenarioContext;
use crate::time::now;

/// The servers' default leeway for a token's times.
const LEEWAY: Instant = 30 * SECOND;

/// How long after a start of the issuer a server may not know its keys: the servers' `refresh_cooldown_secs` here, the
/// duration of a fetch, and the same again after a failed fetch.
const NEW_KEYS: Instant = 10 * SECOND;

/// A 2xx response.
pub(crate) struct Success {
    pub(crate) body: Value,
    pub(crate) replayed: bool,
    pub(crate) trace_id: String,
}

/// Why a request failed.
pub(crate) enum CallFailure {
    /// A 4xx response, which the caller checks.
    Refused(Box<ApiError>),
    /// It may have taken effect or not. The failure is already recorded.
    Lost,
    /// There was no valid session or token, so it did not take effect.
    Unauthenticated,
}

/// A request to the portal's API.
pub(crate) struct Request<'a> {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) key: Option<&'a str>,
    /// The device that it is about, if known.
    pub(crate) device: Option<&'a str>,
}

/// A user's portal client.
pub(crate) struct Portal {
    context: Arc<ScenarioContext>,
    person: Person,
    http: reqwest::Client,
    session: tokio::sync::Mutex<Option<Session>>,
}

#[derive(Clone)]
struct Session {
    token: Token,
    initiated: bool,
    renew_at: Instant,
}

impl Portal {
    pub(crate) fn new(context: Arc<ScenarioContext>, person: Person, http: reqwest::Client) -> Self {
        Self { context, person, http, session: tokio::sync::Mutex::default() }
    }

    /// Sends a request, after it initiated a session if there is none.
    pub(crate) async fn call(
        &self,
        replica: &Replica,
        request: &Request<'_>,
        random: &mut StdRng,
    ) -> Result<Success, CallFailure> {
        let Some(token) = self.session(replica, random).await else { return Err(CallFailure::Unauthenticated) };
        self.send(replica, &token, request).await
    }

    /// Sends a request and disconnects before the response. False if there is no session, so that nothing was sent.
    pub(crate) async fn send_and_disconnect(
        &self,
        replica: &Replica,
        request: &Request<'_>,
        random: &mut StdRng,
    ) -> bool {
        let Some(token) = self.session(replica, random).await else { return false };
        let bearer = format!("Bearer {}", token.text);
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut headers = vec![("Authorization", bearer.as_str())];
        if request.body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        if let Some(key) = request.key {
            headers.push(("Idempotency-Key", key));
        }
        let (method, path) = (request.method.as_str(), request.path);
        AbandonedRequest { method, path, headers, body: &body }.send(replica, random).await;
        self.context.history.count(request.name, DISCONNECTED);
        true
    }

    /// The token of an initiated session; `None` if no session can be initiated now.
    async fn session(&self, replica: &Replica, random: &mut StdRng) -> Option<Token> {
        let mut current = self.session.lock().await;
        if current.as_ref().is_none_or(|session| now() >= session.renew_at) {
            match self.context.issuer.token(&self.person.name, &self.person.password()).await {
                Some(token) => {
                    let renew_at = now() + random.random_range(20..60) * SECOND;
                    *current = Some(Session { token, initiated: false, renew_at });
                    self.context.history.count("log-in", "token");
                }
                // Without a new token the old one is used.
                None => self.context.history.count("log-in", "no token"),
            }
        }
        let session = current.as_mut()?;
        if !session.initiated {
            let request = Request {
                name: "initiate",
                method: Method::POST,
                path: "/session/initiate",
                body: Some(json!({ "host": "merchant.viopay.io" })),
                key: None,
                device: None,
            };
            match self.send(replica, &session.token, &request).await {
                Ok(_) => session.initiated = true,
                Err(CallFailure::Refused(error)) => {
                    self.context.history.violation(format!("initiate by {}: {error}", self.person.name), Vec::new());
                    return None;
                }
                Err(CallFailure::Lost) => return None,
                Err(CallFailure::Unauthenticated) => {
                    // A token that was signed with discarded keys will never be accepted.
                    if session.token.generation != self.context.issuer.generation().0 {
                        *current = None;
                    }
                    return None;
                }
            }
        }
        Some(session.token.clone())
    }

    async fn send(&self, replica: &Replica, token: &Token, request: &Request<'_>) -> Result<Success, CallFailure> {
        let sent = now();
        let trace_id = Uuid::new_v4().simple().to_string();
        let outcome = self.exchange(replica, token, request, &trace_id).await;
        let about = format!("{} by {} at {}", request.path, self.person.name, replica.name);
        let (call, server_was_down) = (request.name, replica.was_down(sent));
        match outcome {
            Ok(success) => {
                self.context.history.count(call, if success.replayed { "2xx, replayed" } else { "2xx" });
                Ok(success)
            }
            Err(error) => {
                let (server, device) = (replica.name.as_str(), request.device);
                let info = CallInfo { call, about: &about, server, device, sent, server_was_down };
                match self.context.history.failed(info, error) {
                    None => Err(CallFailure::Lost),
                    Some(error) if error.http_status == 401 => {
                        self.check_401(replica, token, sent, &about, &error);
                        Err(CallFailure::Unauthenticated)
                    }
                    Some(error) => Err(CallFailure::Refused(error)),
                }
            }
        }
    }

    /// A token may be rejected if it is expired or not yet valid by the server's skewed clock, if the issuer has discarded
    /// its keys, and if its keys are so new that the server may not know them.
    fn check_401(&self, replica: &Replica, token: &Token, sent: Instant, about: &str, error: &ApiError) {
        let (skew, (generation, started_at), now) = (replica.skew(sent), self.context.issuer.generation(), now());
        let not_yet_valid = sent + skew.least < token.issued - LEEWAY + SECOND;
        let expired = now + skew.most >= token.expires + LEEWAY - SECOND;
        let unknown_keys = token.generation != generation || now - started_at < NEW_KEYS;
        if !(not_yet_valid || expired || unknown_keys) {
            self.context.history.violation(format!("{about}: a valid token was rejected: {error}"), Vec::new());
        }
    }

    async fn exchange(
        &self,
        replica: &Replica,
        token: &Token,
        request: &Request<'_>,
        trace_id: &str,
    ) -> Result<Success, CallError> {
        let transport_error = |error: reqwest::Error| {
            let trace_id = trace_id.to_owned();
            if error.is_timeout() {
                CallError::TimedOut { trace_id }
            } else {
                CallError::Unreachable { trace_id, source: error.without_url().into() }
            }
        };
        let span = trace_id.get(..16).unwrap_or_default();
        let mut call = self.http.request(request.method.clone(), format!("{}{}", replica.url, request.path));
        call = call.bearer_auth(&token.text).header("traceparent", format!("00-{trace_id}-{span}-01"));
        if let Some(body) = &request.body {
            call = call.json(body);
        }
        if let Some(key) = request.key {
            call = call.header("Idempotency-Key", key);
        }
        let response = call.send().await.map_err(transport_error)?;
        let status = response.status();
        let retry_after = seconds(&response, "retry-after");
        let replayed = response.headers().get("idempotency-replayed").is_some();
        let text = response.text().await.map_err(transport_error)?;
        let unexpected = |problem| CallError::Unexpected {
            http_status: status.as_u16(),
            problem,
            retry_after,
            trace_id: trace_id.to_owned(),
        };
        let body: Value = serde_json::from_str(&text).map_err(|_| unexpected("it is not JSON"))?;
        if status.is_success() {
            return Ok(Success { body, replayed, trace_id: trace_id.to_owned() });
        }
        let field = |name: &str| body.get("error")?.get(name)?.as_str().map(str::to_owned);
        let (Some(code), Some(message)) = (field("code"), field("message")) else {
            return Err(unexpected("it is not an error envelope"));
        };
        let trace_id = field("trace_id").unwrap_or_default();
        Err(CallError::Api(Box::new(ApiError {
            http_status: status.as_u16(),
            code,
            message,
            details: None,
            trace_id,
            retry_after,
        })))
    }
}

fn seconds(response: &Response, header: &str) -> Option<Duration> {
    response.headers().get(header)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
