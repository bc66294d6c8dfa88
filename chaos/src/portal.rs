//! A person at a merchant's portal: logs in, initiates the session, and calls.

use std::sync::Arc;
use std::time::Duration;

use pos_terminal::{ApiError, CallError};
use rand::RngExt as _;
use rand::rngs::StdRng;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::act::Stage;
use crate::issuer::Token;
use crate::leaving::Cut;
use crate::ledger::Underway;
use crate::model::{Instant, SECOND};
use crate::people::Person;
use crate::replica::Replica;
use crate::time::now;

/// By how much a token's times may be off for the servers: their default.
const LEEWAY: Instant = 30 * SECOND;

/// How long after a start of the issuer its keys may still be unknown to a server: the servers' `refresh_cooldown_secs`
/// here, the time a fetch may take, and as much again for one that failed.
const NEW_KEYS: Instant = 10 * SECOND;

/// A good answer.
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) replayed: bool,
    pub(crate) trace_id: String,
}

/// Why there is none.
pub(crate) enum NoAnswer {
    /// Refused, with a 4xx for the caller to judge.
    Refused(Box<ApiError>),
    /// It may have happened or not. Entered already.
    Lost,
    /// It was kept out, rightly: it did not happen.
    KeptOut,
}

/// What is to be called.
pub(crate) struct Request<'a> {
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) key: Option<&'a str>,
    /// The device that it is about, if that is known.
    pub(crate) device: Option<&'a str>,
}

/// A person with a browser.
pub(crate) struct Portal {
    stage: Arc<Stage>,
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
    pub(crate) fn new(stage: Arc<Stage>, person: Person, http: reqwest::Client) -> Self {
        Self { stage, person, http, session: tokio::sync::Mutex::default() }
    }

    /// Calls, with a session initiated before if there is none.
    pub(crate) async fn call(
        &self,
        replica: &Replica,
        request: &Request<'_>,
        random: &mut StdRng,
    ) -> Result<Answer, NoAnswer> {
        let Some(token) = self.session(replica, random).await else { return Err(NoAnswer::KeptOut) };
        self.send(replica, &token, request).await
    }

    /// Calls and leaves before there is an answer. False when there is no session, so that nothing was sent.
    pub(crate) async fn leave(&self, replica: &Replica, request: &Request<'_>, random: &mut StdRng) -> bool {
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
        Cut { method: request.method.as_str(), path: request.path, headers, body: &body }.send(replica, random).await;
        self.stage.ledger.count(request.name, "left by the caller");
        true
    }

    /// The token of an initiated session; none when there can be none now.
    async fn session(&self, replica: &Replica, random: &mut StdRng) -> Option<Token> {
        let mut kept = self.session.lock().await;
        if kept.as_ref().is_none_or(|session| now() >= session.renew_at) {
            match self.stage.issuer.token(&self.person.name, &self.person.password()).await {
                Some(token) => {
                    let renew_at = now() + random.random_range(20..60) * SECOND;
                    *kept = Some(Session { token, initiated: false, renew_at });
                    self.stage.ledger.count("log-in", "token");
                }
                // Who cannot log in goes on with the token there is.
                None => self.stage.ledger.count("log-in", "no token"),
            }
        }
        let session = kept.as_mut()?;
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
                Err(NoAnswer::Refused(error)) => {
                    self.stage.ledger.violation(format!("initiate by {}: {error}", self.person.name), Vec::new());
                    return None;
                }
                Err(NoAnswer::Lost) => return None,
                Err(NoAnswer::KeptOut) => {
                    // A token of keys that are gone is of no use any more.
                    if session.token.life != self.stage.issuer.life().0 {
                        *kept = None;
                    }
                    return None;
                }
            }
        }
        Some(session.token.clone())
    }

    async fn send(&self, replica: &Replica, token: &Token, request: &Request<'_>) -> Result<Answer, NoAnswer> {
        let sent = now();
        let trace_id = Uuid::new_v4().simple().to_string();
        let outcome = self.exchange(replica, token, request, &trace_id).await;
        let about = format!("{} by {} at {}", request.path, self.person.name, replica.name);
        let (call, server_was_down) = (request.name, replica.was_down(sent));
        match outcome {
            Ok(answer) => {
                self.stage.ledger.count(call, if answer.replayed { "2xx, replayed" } else { "2xx" });
                Ok(answer)
            }
            Err(error) => {
                let (server, device) = (replica.name.as_str(), request.device);
                let underway = Underway { call, about: &about, server, device, sent, server_was_down };
                match self.stage.ledger.failed(underway, error) {
                    None => Err(NoAnswer::Lost),
                    Some(error) if error.http_status == 401 => {
                        self.judge_401(replica, token, sent, &about, &error);
                        Err(NoAnswer::KeptOut)
                    }
                    Some(error) => Err(NoAnswer::Refused(error)),
                }
            }
        }
    }

    /// A token may be refused when the server's clock is off so far that it holds no more, or not yet, and when it was
    /// signed with keys that are gone, or so new that they are not known yet.
    fn judge_401(&self, replica: &Replica, token: &Token, sent: Instant, about: &str, error: &ApiError) {
        let (skew, (life, born), now) = (replica.skew(sent), self.stage.issuer.life(), now());
        let not_yet = sent + skew.least < token.issued - LEEWAY + SECOND;
        let no_more = now + skew.most >= token.expires + LEEWAY - SECOND;
        let other_keys = token.life != life || now - born < NEW_KEYS;
        if !(not_yet || no_more || other_keys) {
            self.stage.ledger.violation(format!("{about}: a good token was refused: {error}"), Vec::new());
        }
    }

    async fn exchange(
        &self,
        replica: &Replica,
        token: &Token,
        request: &Request<'_>,
        trace_id: &str,
    ) -> Result<Answer, CallError> {
        let lost = |error: reqwest::Error| {
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
        let response = call.send().await.map_err(lost)?;
        let status = response.status();
        let retry_after = seconds(&response, "retry-after");
        let replayed = response.headers().get("idempotency-replayed").is_some();
        let text = response.text().await.map_err(lost)?;
        let unexpected = |problem| CallError::Unexpected {
            http_status: status.as_u16(),
            problem,
            retry_after,
            trace_id: trace_id.to_owned(),
        };
        let body: Value = serde_json::from_str(&text).map_err(|_| unexpected("it is not JSON"))?;
        if status.is_success() {
            return Ok(Answer { body, replayed, trace_id: trace_id.to_owned() });
        }
        let field = |name: &str| body.get("error")?.get(name)?.as_str().map(str::to_owned);
        let (Some(code), Some(message)) = (field("code"), field("message")) else {
            return Err(unexpected("it is no error envelope"));
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
