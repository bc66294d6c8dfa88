//! What every request passes on its way in and out.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _, web};
use futures_util::FutureExt as _;
use pos_domain::{CallContext, TraceId};
use tokio::time::timeout;

use super::admission::{Admission, BODY_NOT_RECEIVED};
use super::api_error::{ApiError, Failure};
use super::call_log::{CallLog, Logged};
use super::connection::Connection;
use super::extract::PREFER;
use super::metrics::RouteMetrics;
use super::pacing::network;
use super::pending_bodies::PendingBodies;
use super::room::{Place, Room};
use super::throttled_log::ThrottledLog;
use super::{Api, Limits, envelope, trace_id};
use crate::clock::Stopwatch;

pub(super) const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// How long a call may take from the end of its head to the head of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// As long as any small call.
    Usual,
    /// That, and as long as its caller prefers to wait.
    Wait,
    /// As long as a file takes to arrive and to be imported.
    Import,
}

impl Patience {
    fn limit(self, limits: &Limits) -> Duration {
        match self {
            Self::Usual => limits.request_timeout,
            Self::Wait => limits.request_timeout + limits.max_wait,
            Self::Import => limits.import_timeout,
        }
    }
}

/// The bodies that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLimit {
    /// None: one that is sent is ignored.
    None,
    /// Those of small calls.
    Usual,
    /// Files.
    Upload,
}

impl BodyLimit {
    /// Checks the length that a body is declared with.
    ///
    /// # Errors
    /// 413/4013 when it is over the limit.
    pub(super) fn check(self, method: &Method, headers: &HeaderMap, limits: &Limits) -> Result<(), ApiError> {
        let takes_body = matches!(*method, Method::POST | Method::PATCH);
        let most = match self {
            Self::Usual if takes_body => u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX),
            Self::Upload if takes_body => limits.max_upload_bytes,
            _ => return Ok(()),
        };
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
        if declared.is_some_and(|length| length > most) { Err(too_large(most)) } else { Ok(()) }
    }
}

/// The refusal of a body that is longer than `most` bytes.
pub(super) fn too_large(most: u64) -> ApiError {
    ApiError::new(Failure::TooLarge, "Request body is too large")
        .details(serde_json::json!({ "message": format!("at most {most} bytes are accepted") }))
}

/// What the door knows of a route.
pub(super) struct Doorway {
    pub(super) counters: RouteMetrics,
    pub(super) patience: Patience,
    /// Where its calls find a place; none where nobody is turned away.
    pub(super) room: Option<Rc<Room>>,
    pub(super) rate_limit_log: ThrottledLog,
    /// Where its uploads find a place, once their callers are authenticated.
    pub(super) uploads: Option<Rc<Room>>,
    pub(super) body_limit: BodyLimit,
    /// What it waits for without a place; none where no body is waited for.
    pub(super) bodies: Option<Rc<PendingBodies>>,
}

/// Gives the request a place, its trace id and span, bounds its time, catches a panic, and sees that whatever comes back leaves
/// as an answer or as the envelope, logged and counted once.
pub(super) async fn door(
    doorway: Rc<Doorway>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let since = Stopwatch::start();
    let Doorway { counters: route, patience, room, rate_limit_log, uploads, body_limit, bodies } = &*doorway;
    let http_request = request.request().clone();
    let Some(api) = http_request.app_data::<web::Data<Api>>() else {
        return Err(ApiError::internal("the API is not wired").into());
    };
    let trace_id = trace_id::of_request(request.headers(), &*api.entropy);
    let connection = Connection::of(&http_request).cloned();
    let _answering = connection.as_ref().map(Connection::begin);
    let has_body = !matches!(request.parts().1, Payload::None);
    let origin = request.peer_addr().map(|peer| api.trusted_proxies.origin(peer.ip(), request.headers()));
    // Before a place is taken, and before anything is waited for.
    let within_limits = within_header_limit(request.headers(), &api.limits)
        .and_then(|()| body_limit.check(request.method(), request.headers(), &api.limits));
    let (mut _place, mut admission) = (None, None);
    match (room, bodies) {
        (Some(room), bodies) if within_limits.is_ok() => {
            let admitted = match bodies {
                None => room.enter().await.map(|place| _place = lent(place, *patience, &request)),
                Some(bodies) => {
                    let entered = Admission::enter(room, uploads.as_ref(), bodies, origin.map(network)).await;
                    entered.map(|entered| {
                        request.extensions_mut().insert(Rc::clone(&entered));
                        admission = Some(entered);
                    })
                }
            };
            if admitted.is_none() {
                let mut response = turned_away(http_request.method(), trace_id, api, route);
                if has_body {
                    leave_unread(connection.as_deref(), http_request.headers(), &mut response).await;
                }
                return Ok(ServiceResponse::new(http_request.clone(), response));
            }
        }
        _ => {}
    }
    let context = CallContext { origin, trace_id: Some(trace_id) };
    let log = CallLog::new(context, request.method().clone(), route.path(), api.lazy_spans);
    let is_receiving = || admission.as_ref().is_some_and(|admission| admission.is_receiving());
    let work = async {
        within_limits?;
        let call = pin!(AssertUnwindSafe(next.call(request)).catch_unwind());
        match timeout(patience.limit(&api.limits).saturating_sub(since.elapsed()), call).await {
            Ok(Ok(answer)) => answer.map(ServiceResponse::map_into_boxed_body),
            Ok(Err(_)) => Err(ApiError::internal("a handler panicked").into()),
            Err(_) if is_receiving() => Err(ApiError::invalid(BODY_NOT_RECEIVED).into()),
            Err(_) => Err(ApiError::unavailable().caused_by("the request took too long").into()),
        }
    };
    let answer = Logged { call: Rc::clone(&log), work: pin!(work) }.await;
    let answer = answer.unwrap_or_else(|error: Error| ServiceResponse::from_err(error, http_request.clone()));
    if let Some(admission) = &admission {
        admission.release();
    }

    let (http_request, response) = answer.into_parts();
    // A place that was lent and did not come back.
    http_request.extensions_mut().remove::<Place>();
    let (mut response, error) = envelope::seal(response, trace_id, &*api.entropy);
    stamp(&mut response, trace_id, api);
    if has_body {
        leave_unread(connection.as_deref(), http_request.headers(), &mut response).await;
    }
    let status = response.status();
    let elapsed = since.elapsed();
    if error.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
        log.during(|| tell(status.as_u16(), elapsed, error.as_ref(), rate_limit_log));
    }
    route.observe(http_request.method(), status, elapsed);
    Ok(ServiceResponse::new(http_request, response))
}

pub(super) fn stamp(response: &mut HttpResponse<BoxBody>, trace_id: TraceId, api: &Api) {
    if api.drain.has_started() {
        // The caller leaves now and comes back elsewhere, rather than find the connection gone with its next request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(trace_id.to_string()) {
        headers.insert(X_TRACE_ID, id);
    }
    // Answers hold codes and states of the moment; none may be served again by a cache on the way.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The answer to one call too many, for as little work as can be: no span, no line in the log of its own.
fn turned_away(method: &Method, trace_id: TraceId, api: &Api, route: &RouteMetrics) -> HttpResponse<BoxBody> {
    let bare = ApiError::unavailable().error_response();
    let (mut response, _) = envelope::seal(bare, trace_id, &*api.entropy);
    stamp(&mut response, trace_id, api);
    route.count(method, response.status());
    response
}

/// Ends the connection with the answer, unless the body was received whole: the rest is not read to its end.
async fn leave_unread(connection: Option<&Connection>, headers: &HeaderMap, response: &mut HttpResponse<BoxBody>) {
    let Some(connection) = connection.filter(|connection| !connection.body_is_whole()) else { return };
    connection.drain_on_close();
    // With a body that has a length the library ends the connection; of one without, it would read on for ever.
    if headers.contains_key(TRANSFER_ENCODING) {
        response.head_mut().set_connection_type(ConnectionType::Close);
        connection.close_after_answer().await;
    }
}

/// Keeps a call's place until it is answered; one that may be held back carries it along, for its handler to give back
/// when the wait begins.
fn lent(place: Place, patience: Patience, request: &ServiceRequest) -> Option<Place> {
    if patience == Patience::Wait && request.headers().contains_key(PREFER) {
        request.extensions_mut().insert(place);
        return None;
    }
    Some(place)
}

fn within_header_limit(headers: &HeaderMap, limits: &Limits) -> Result<(), ApiError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.max_header_bytes {
        let most = limits.max_header_bytes;
        return Err(ApiError::invalid("Request headers are too large")
            .details(serde_json::json!({ "message": format!("at most {most} bytes of headers are accepted") })));
    }
    Ok(())
}

fn tell(status: u16, elapsed: Duration, error: Option<&ApiError>, rate_limit_log: &ThrottledLog) {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let Some(error) = error else {
        tracing::debug!(status, micros, "answered");
        return;
    };
    let code = error.parts().failure.code();
    match &error.parts().cause {
        Some(cause) if error.parts().failure == Failure::Unavailable => {
            tracing::warn!(status, code, micros, cause = causes(&**cause), "unavailable");
        }
        Some(cause) => tracing::error!(status, code, micros, cause = causes(&**cause), "failed"),
        None if error.parts().failure == Failure::TooManyAttempts => {
            if let Some(calls) = rate_limit_log.count() {
                tracing::info!(status, code, calls, "refused by a rate limiter; this is the latest of so many");
            }
        }
        None => tracing::info!(status, code, micros, "refused"),
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
