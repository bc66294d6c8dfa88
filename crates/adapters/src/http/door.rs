//! What every request passes on its way in and out.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use futures_util::FutureExt as _;
use pos_domain::{CallContext, TraceId};
use tokio::time::timeout;

use super::api_error::{ApiError, Failure};
use super::call_log::{CallLog, Logged};
use super::extract::PREFER;
use super::metrics::RouteMetrics;
use super::rate_limit_log::RateLimitLog;
use super::room::{Place, Room};
use super::{Api, Limits, envelope, trace_id};
use crate::clock::Stopwatch;

const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

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

/// What the door knows of a route.
pub(super) struct Doorway {
    pub(super) counters: RouteMetrics,
    pub(super) patience: Patience,
    /// Where its calls find a place; none where nobody is turned away.
    pub(super) room: Option<Rc<Room>>,
    pub(super) rate_limit_log: RateLimitLog,
}

/// Gives the request a place, its trace id and span, bounds its time, catches a panic, and sees that whatever comes back leaves
/// as an answer or as the envelope, logged and counted once.
pub(super) async fn door(
    doorway: Rc<Doorway>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let since = Stopwatch::start();
    let Doorway { counters: route, patience, room, rate_limit_log } = &*doorway;
    let http_request = request.request().clone();
    let Some(api) = http_request.app_data::<web::Data<Api>>() else {
        return Err(ApiError::internal("the API is not wired").into());
    };
    let trace_id = trace_id::of_request(request.headers(), &*api.entropy);
    let _place = match room {
        None => None,
        Some(room) => match room.enter().await {
            None => return Ok(turned_away(http_request.clone(), trace_id, api, route)),
            Some(place) => lent(place, *patience, &request),
        },
    };
    let origin = request.peer_addr().map(|peer| api.trusted_proxies.origin(peer.ip(), request.headers()));
    let context = CallContext { origin, trace_id: Some(trace_id) };
    let log = CallLog::new(context, request.method().clone(), route.path(), api.lazy_spans);
    let work = async {
        within_header_limit(request.headers(), &api.limits)?;
        let call = pin!(AssertUnwindSafe(next.call(request)).catch_unwind());
        match timeout(patience.limit(&api.limits).saturating_sub(since.elapsed()), call).await {
            Ok(Ok(answer)) => answer.map(ServiceResponse::map_into_boxed_body),
            Ok(Err(_)) => Err(ApiError::internal("a handler panicked").into()),
            Err(_) => Err(ApiError::unavailable().caused_by("the request took too long").into()),
        }
    };
    let answer = Logged { call: Rc::clone(&log), work: pin!(work) }.await;
    let answer = answer.unwrap_or_else(|error: Error| ServiceResponse::from_err(error, http_request.clone()));

    let (http_request, response) = answer.into_parts();
    // A place that was lent and did not come back.
    http_request.extensions_mut().remove::<Place>();
    let (mut response, error) = envelope::seal(response, trace_id, &*api.entropy);
    stamp(&mut response, trace_id, api);
    let status = response.status();
    let elapsed = since.elapsed();
    if error.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
        log.during(|| tell(status.as_u16(), elapsed, error.as_ref(), rate_limit_log));
    }
    route.observe(http_request.method(), status, elapsed);
    Ok(ServiceResponse::new(http_request, response))
}

fn stamp(response: &mut HttpResponse<BoxBody>, trace_id: TraceId, api: &Api) {
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
fn turned_away(request: HttpRequest, trace_id: TraceId, api: &Api, route: &RouteMetrics) -> ServiceResponse<BoxBody> {
    let bare = ApiError::unavailable().error_response();
    let (mut response, _) = envelope::seal(bare, trace_id, &*api.entropy);
    stamp(&mut response, trace_id, api);
    route.count(request.method(), response.status());
    ServiceResponse::new(request, response)
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

fn tell(status: u16, elapsed: Duration, error: Option<&ApiError>, rate_limit_log: &RateLimitLog) {
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
