//! The one form in which every failure leaves (contract, section 1).

use actix_web::HttpResponse;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, ContentType};
use pos_domain::TraceId;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::api_error::{ApiError, Failure};

/// Every failure, from any layer.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorEnvelope<'a> {
    error: ErrorBody<'a>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct ErrorBody<'a> {
    /// The kind of failure, a string of four digits.
    #[schema(example = "4000")]
    code: &'a str,
    /// For a person. Never a cause, SQL or a path.
    #[schema(example = "X-Device-Id header is required")]
    message: &'a str,
    /// What the failure is about; left out when there is nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>)]
    details: Option<&'a Value>,
    /// The same id as in the `X-Trace-Id` header and the server's log.
    #[schema(example = "4bf92f3577b34da6a3ce929d0e0e4736", pattern = "^[0-9a-f]{32}$")]
    trace_id: &'a str,
}

/// Turns a failed response into the envelope, whoever made it; any other passes unchanged. Answers the error, for the
/// log.
pub(super) fn seal(response: HttpResponse<BoxBody>, trace_id: TraceId) -> (HttpResponse<BoxBody>, Option<ApiError>) {
    let known = response.extensions().get::<ApiError>().cloned();
    let Some(error) = known.or_else(|| of_status(&response)) else {
        return (response, None);
    };
    let parts = error.parts();
    let mut sealed = HttpResponse::build(parts.failure.status());
    if let Some(after) = parts.retry_after {
        sealed.insert_header((header::RETRY_AFTER, whole_seconds(after)));
    }
    if let Some(methods) = &parts.allow {
        sealed.insert_header((header::ALLOW, methods.as_str()));
    }
    if let Some(challenge) = parts.challenge {
        sealed.insert_header((header::WWW_AUTHENTICATE, challenge));
    }
    let body = text(&error, trace_id);
    (sealed.content_type(ContentType::json()).body(body), Some(error))
}

/// The envelope as JSON.
pub(super) fn text(error: &ApiError, trace_id: TraceId) -> String {
    let parts = error.parts();
    let envelope = ErrorEnvelope {
        error: ErrorBody {
            code: parts.failure.code(),
            message: &parts.message,
            details: parts.details.as_ref(),
            trace_id: &trace_id.to_string(),
        },
    };
    serde_json::to_string(&envelope).unwrap_or_default()
}

/// The error that a bare failure of the framework stands for.
fn of_status(response: &HttpResponse<BoxBody>) -> Option<ApiError> {
    let status = response.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || (response.body().size() != BodySize::None && is_json(response)) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => ApiError::new(Failure::NotFound, "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ApiError::new(Failure::MethodNotAllowed, "Method not allowed"),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(Failure::TooLarge, "Request body is too large"),
        StatusCode::SERVICE_UNAVAILABLE => ApiError::unavailable(),
        status if status.is_server_error() => ApiError::internal(format!("bare {status} from the framework")),
        _ => ApiError::invalid("Invalid request"),
    })
}

fn is_json(response: &HttpResponse<BoxBody>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// Rounded up, and at least one: `Retry-After: 0` would ask for a storm.
fn whole_seconds(after: std::time::Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}
