//! Request middleware: concurrency limit, trace id, log span, timeout, panic handling, error envelope, log and metrics.

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
use pos_domain::shared::{RequestContext, TraceId};
use tokio::time;

use crate::errors::api_error::ApiError;
use crate::errors::code::ErrorCode;
use crate::errors::envelope;
use crate::errors::table::{BODY_NOT_RECEIVED, BODY_TOO_LARGE, HEADERS_TOO_LARGE};
use crate::extract::PREFER;
use crate::limits::admission::Admission;
use crate::limits::concurrency_limit::{ConcurrencyLimiter, Permit};
use crate::limits::pending_bodies::PendingBodies;
use crate::limits::rate_limiter::network;
use crate::observe::call_log::{CallLog, WithCallLog};
use crate::observe::metrics::RouteMetrics;
use crate::observe::throttled_log::ThrottledLog;
use crate::observe::trace_id;
use crate::server::connection::Connection;
use crate::state::{Api, Limits};
use pos_port_clock::Stopwatch;

pub(crate) const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// Time limit of a request, from the end of its head to the head of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeoutClass {
    /// `request_timeout`.
    Usual,
    /// `request_timeout` and the maximum of `Prefer: wait`.
    Wait,
    /// `import_timeout`: receiving and importing a file.
    Import,
}

impl TimeoutClass {
    fn limit(self, limits: &Limits) -> Duration {
        match self {
            Self::Usual => limits.request_timeout,
            Self::Wait => limits.request_timeout + limits.max_wait,
            Self::Import => limits.import_timeout,
        }
    }
}

/// Size limit of a route's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyLimit {
    /// The route takes no body and ignores one.
    None,
    /// `max_body_bytes`.
    Usual,
    /// `max_upload_bytes`.
    Upload,
}

impl BodyLimit {
    /// Checks the declared length of a body.
    ///
    /// # Errors
    /// 413/4013 if it exceeds the limit.
    pub(crate) fn check(self, method: &Method, headers: &HeaderMap, limits: &Limits) -> Result<(), ApiError> {
        let takes_body = matches!(*method, Method::POST | Method::PATCH);
        let max_bytes = match self {
            Self::Usual if takes_body => u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX),
            Self::Upload if takes_body => limits.max_upload_bytes,
            _ => return Ok(()),
        };
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse::<u64>().ok());
        if declared.is_some_and(|length| length > max_bytes) { Err(too_large(max_bytes)) } else { Ok(()) }
    }
}

/// 413/4013: the body is longer than `max_bytes`.
pub(crate) fn too_large(max_bytes: u64) -> ApiError {
    BODY_TOO_LARGE.because(&format!("at most {max_bytes} bytes are accepted"))
}

/// State of the middleware for one route.
pub(crate) struct RouteContext {
    pub(crate) counters: RouteMetrics,
    pub(crate) timeout_class: TimeoutClass,
    /// Concurrency limit of the route; `None` if it has none.
    pub(crate) limiter: Option<Rc<ConcurrencyLimiter>>,
    pub(crate) rate_limit_log: ThrottledLog,
    /// Concurrency limit of its uploads after authentication.
    pub(crate) upload_limiter: Option<Rc<ConcurrencyLimiter>>,
    pub(crate) body_limit: BodyLimit,
    /// Bodies that the route waits for without a permit; `None` if it waits for none.
    pub(crate) pending_bodies: Option<Rc<PendingBodies>>,
}

/// Acquires a permit, sets trace id and span, applies the timeout and catches panics. Every error leaves in the envelope;
/// every response is logged and counted once.
pub(crate) async fn request_middleware(
    context: Rc<RouteContext>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let since = Stopwatch::start();
    let RouteContext {
        counters: route,
        timeout_class,
        limiter,
        rate_limit_log,
        upload_limiter,
        body_limit,
        pending_bodies,
    } = &*context;
    let http_request = request.request().clone();
    let Some(api) = http_request.app_data::<web::Data<Api>>() else {
        return Err(ApiError::internal("the API state is missing").into());
    };
    let trace_id = trace_id::of_request(request.headers(), &*api.entropy);
    let connection = Connection::of(&http_request).cloned();
    let _request_guard = connection.as_ref().map(Connection::begin);
    let has_body = !matches!(request.parts().1, Payload::None);
    let client_ip = request.peer_addr().map(|peer| api.trusted_proxies.client_ip(peer.ip(), request.headers()));
    // Checked before a permit is acquired and before anything is awaited.
    let within_limits = within_header_limit(request.headers(), &api.limits)
        .and_then(|()| body_limit.check(request.method(), request.headers(), &api.limits));
    let (mut _permit, mut admission) = (None, None);
    match (limiter, pending_bodies) {
        (Some(limiter), pending_bodies) if within_limits.is_ok() => {
            let admitted = match pending_bodies {
                None => limiter.acquire().await.map(|permit| _permit = hold(permit, *timeout_class, &request)),
                Some(bodies) => {
                    let result =
                        Admission::acquire(limiter, upload_limiter.as_ref(), bodies, client_ip.map(network)).await;
                    result.map(|acquired| {
                        request.extensions_mut().insert(Rc::clone(&acquired));
                        admission = Some(acquired);
                    })
                }
            };
            if admitted.is_none() {
                let mut response = shed(http_request.method(), trace_id, api, route);
                if has_body {
                    close_if_unread(connection.as_deref(), http_request.headers(), &mut response).await;
                }
                return Ok(ServiceResponse::new(http_request.clone(), response));
            }
        }
        _ => {}
    }
    let request_context = RequestContext { client_ip, trace_id: Some(trace_id) };
    let log = CallLog::new(request_context, request.method().clone(), route.path(), api.lazy_spans);
    let is_receiving = || admission.as_ref().is_some_and(|admission| admission.is_receiving());
    let work = async {
        within_limits?;
        let call = pin!(AssertUnwindSafe(next.call(request)).catch_unwind());
        match time::timeout(timeout_class.limit(&api.limits).saturating_sub(since.elapsed()), call).await {
            Ok(Ok(response)) => response.map(ServiceResponse::map_into_boxed_body),
            Ok(Err(_)) => Err(ApiError::internal("a handler panicked").into()),
            Err(_) if is_receiving() => Err(ApiError::from(BODY_NOT_RECEIVED).into()),
            Err(_) => Err(ApiError::unavailable().caused_by("the request timed out").into()),
        }
    };
    let result = WithCallLog { call: Rc::clone(&log), work: pin!(work) }.await;
    let response = result.unwrap_or_else(|error: Error| ServiceResponse::from_err(error, http_request.clone()));
    if let Some(admission) = &admission {
        admission.release();
    }

    let (http_request, response) = response.into_parts();
    // Drops a permit that the handler left in the extensions.
    http_request.extensions_mut().remove::<Permit>();
    let (mut response, error) = envelope::wrap(response, trace_id, &*api.entropy);
    set_common_headers(&mut response, trace_id, api);
    if has_body {
        close_if_unread(connection.as_deref(), http_request.headers(), &mut response).await;
    }
    let status = response.status();
    let elapsed = since.elapsed();
    if error.is_some() || tracing::enabled!(tracing::Level::DEBUG) {
        log.during(|| log_response(status.as_u16(), elapsed, error.as_ref(), rate_limit_log));
    }
    route.observe(http_request.method(), status, elapsed);
    Ok(ServiceResponse::new(http_request, response))
}

/// Sets the headers of every response.
pub(crate) fn set_common_headers(response: &mut HttpResponse<BoxBody>, trace_id: TraceId, api: &Api) {
    if api.drain.has_started() {
        // The caller reconnects to another server now, instead of finding the connection closed at its next request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(trace_id.to_string()) {
        headers.insert(X_TRACE_ID, id);
    }
    // Responses contain codes and current states; no cache may store them.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Builds the response to a shed request at minimal cost: without a span and without a log line of its own.
fn shed(method: &Method, trace_id: TraceId, api: &Api, route: &RouteMetrics) -> HttpResponse<BoxBody> {
    let error = ApiError::unavailable().error_response();
    let (mut response, _) = envelope::wrap(error, trace_id, &*api.entropy);
    set_common_headers(&mut response, trace_id, api);
    route.count(method, response.status());
    response
}

/// Closes the connection after the response, unless the body was received completely: the rest is not read.
async fn close_if_unread(connection: Option<&Connection>, headers: &HeaderMap, response: &mut HttpResponse<BoxBody>) {
    let Some(connection) = connection.filter(|connection| !connection.body_is_whole()) else { return };
    connection.drain_on_close();
    // The library closes the connection if the body has a declared length. A chunked body it would read without end.
    if headers.contains_key(TRANSFER_ENCODING) {
        response.head_mut().set_connection_type(ConnectionType::Close);
        connection.close_after_answer().await;
    }
}

/// Returns the permit, which the middleware holds until the response. If the request may wait, moves it to the request's
/// extensions instead: the handler drops it when the wait begins.
fn hold(permit: Permit, timeout_class: TimeoutClass, request: &ServiceRequest) -> Option<Permit> {
    if timeout_class == TimeoutClass::Wait && request.headers().contains_key(PREFER) {
        request.extensions_mut().insert(permit);
        return None;
    }
    Some(permit)
}

fn within_header_limit(headers: &HeaderMap, limits: &Limits) -> Result<(), ApiError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > limits.max_header_bytes {
        let max_bytes = limits.max_header_bytes;
        return Err(HEADERS_TOO_LARGE.because(&format!("at most {max_bytes} bytes of headers are accepted")));
    }
    Ok(())
}

fn log_response(status: u16, elapsed: Duration, error: Option<&ApiError>, rate_limit_log: &ThrottledLog) {
    let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    let Some(error) = error else {
        tracing::debug!(status, micros, "request completed");
        return;
    };
    let code = error.parts().code.code();
    match &error.parts().cause {
        Some(cause) if error.parts().code == ErrorCode::Unavailable => {
            tracing::warn!(status, code, micros, cause = error_chain(&**cause), "request failed: unavailable");
        }
        Some(cause) => tracing::error!(status, code, micros, cause = error_chain(&**cause), "request failed"),
        None if error.parts().code == ErrorCode::TooManyAttempts => {
            if let Some(requests) = rate_limit_log.count() {
                tracing::info!(status, code, requests, "requests rejected by a rate limit");
            }
        }
        None => tracing::info!(status, code, micros, "request rejected"),
    }
}

fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
