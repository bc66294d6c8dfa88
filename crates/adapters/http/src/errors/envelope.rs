//! Error envelope: the JSON body of every error response (contract, section 1).

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use pos_domain::shared::TraceId;
use pos_port_clock::Entropy;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::errors::api_error::ApiError;
use crate::errors::table::{BODY_TOO_LARGE, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND};
use crate::limits::rate_limiter::with_jitter;

/// Body of every error response.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope<'a> {
    error: ErrorBody<'a>,
}

/// The error.
#[derive(Serialize, ToSchema)]
struct ErrorBody<'a> {
    /// Error code, a string of four digits.
    #[schema(example = "4000")]
    code: &'a str,
    /// Message for people. Contains no internal causes, SQL or file paths.
    #[schema(example = "X-Device-Id header is required")]
    message: &'a str,
    /// Further data about the error; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    details: Option<&'a Value>,
    /// Trace id of the request; the same as in the `X-Trace-Id` header and in the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736", pattern = "^[0-9a-f]{32}$")]
    trace_id: &'a str,
}

/// Replaces an error response of any layer by the envelope and returns the error for the log. Other responses are
/// returned unchanged.
pub(crate) fn wrap(
    response: HttpResponse<BoxBody>,
    trace_id: TraceId,
    entropy: &dyn Entropy,
) -> (HttpResponse<BoxBody>, Option<ApiError>) {
    let api_error = response.extensions().get::<ApiError>().cloned();
    let Some(error) = api_error.or_else(|| from_status(&response)) else {
        return (response, None);
    };
    let parts = error.parts();
    let mut wrapped = HttpResponse::build(parts.code.status());
    if let Some(after) = parts.retry_after {
        wrapped.insert_header((header::RETRY_AFTER, ceil_seconds(with_jitter(after, entropy))));
    }
    if let Some(methods) = &parts.allow {
        wrapped.insert_header((header::ALLOW, methods.as_str()));
    }
    if let Some(challenge) = parts.challenge {
        wrapped.insert_header((header::WWW_AUTHENTICATE, &*challenge.header(&parts.message)));
    }
    let body = to_json(&error, trace_id);
    (wrapped.content_type(ContentType::json()).body(body), Some(error))
}

/// Serializes the envelope.
pub(crate) fn to_json(error: &ApiError, trace_id: TraceId) -> String {
    let parts = error.parts();
    let envelope = ErrorEnvelope {
        error: ErrorBody {
            code: parts.code.code(),
            message: &parts.message,
            details: parts.details.as_ref(),
            trace_id: &trace_id.to_string(),
        },
    };
    serde_json::to_string(&envelope).unwrap_or_default()
}

/// Converts an error response of the framework, which has no envelope.
fn from_status(response: &HttpResponse<BoxBody>) -> Option<ApiError> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || (response.body().size() != BodySize::None && is_json(response)) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => NOT_FOUND.into(),
        StatusCode::METHOD_NOT_ALLOWED => METHOD_NOT_ALLOWED.into(),
        StatusCode::PAYLOAD_TOO_LARGE => BODY_TOO_LARGE.into(),
        StatusCode::SERVICE_UNAVAILABLE => ApiError::unavailable(),
        status if status.is_server_error() => ApiError::internal(format!("{status} response of the framework")),
        _ => INVALID_REQUEST.into(),
    })
}

fn is_json(response: &HttpResponse<BoxBody>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// Rounds up to at least one second: `Retry-After: 0` would make every client retry at once.
fn ceil_seconds(after: std::time::Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}
