//! OpenAPI descriptions shared by the routes: terminal headers and error responses with an example of each error.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoParams, IntoResponses};

use crate::errors::api_error::ErrorCode;
use crate::limits::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};

/// The terminal headers.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that the Terminal extractor reads")]
pub(crate) struct TerminalParams {
    /// Id of the terminal. New devices get `POS-` and eight upper-case hex digits.
    #[param(rename = "X-Device-Id", example = "POS-8F3A2C91", pattern = "^POS-[!-~]{0,60}$", max_length = 64)]
    device_id: String,
    /// App version and, in parentheses, operating system and model.
    #[param(
        rename = "User-Agent",
        example = "Viopay-POS/1.4.2 (Android 12; PAX-A920)",
        pattern = r"^Viopay-POS/[0-9]{1,4}(\.[0-9]{1,4}){0,3}( [ -~]*)?$",
        max_length = 512
    )]
    user_agent: String,
    /// Always `pos`.
    #[param(rename = "X-Client-Type", example = "pos", pattern = "^pos$")]
    client_type: String,
}

/// An example of an error: code, message and details.
pub(crate) struct ErrorExample(pub(crate) ErrorCode, pub(crate) &'static str, pub(crate) Option<Value>);

/// Errors of every terminal route.
pub(crate) struct TerminalErrors;

/// Errors of a request for a pairing code.
pub(crate) struct PairingCodeErrors;

/// Errors of a claim.
pub(crate) struct ClaimErrors;

/// Errors of the readiness probe.
pub(crate) struct NotReady;

impl IntoResponses for TerminalErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(terminal_errors())
    }
}

impl IntoResponses for PairingCodeErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = terminal_errors();
        all.push(ErrorExample(
            ErrorCode::StateForbids,
            "Device has already been claimed",
            Some(device("POS-8F3A2C91")),
        ));
        all.push(ErrorExample(ErrorCode::Internal, "Failed to create pairing code", None));
        describe(all)
    }
}

impl IntoResponses for ClaimErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let required = "Key: 'ClaimDeviceRequest.PairingCode' Error:Field validation for 'PairingCode' failed on the \
                        'required' tag";
        let code = |code: &str| Some(json!({ "pairing_code": code }));
        let mut all = server_errors();
        all.extend([
            ErrorExample(ErrorCode::Invalid, "Invalid request body", Some(json!({ "message": required }))),
            ErrorExample(
                ErrorCode::Invalid,
                "Idempotency-Key header is invalid",
                Some(json!({ "message": "Idempotency-Key must be sent once" })),
            ),
            ErrorExample(ErrorCode::CodeNotFound, "Pairing code not found", code("XXXXXX")),
            ErrorExample(ErrorCode::StateForbids, "Idempotency-Key was used for another request", None),
            ErrorExample(ErrorCode::StateForbids, "Pairing code has expired", code("K7M3NP")),
            ErrorExample(ErrorCode::StateForbids, "Pairing code has already been used", code("K7M3NP")),
            ErrorExample(ErrorCode::Unauthorized, "Access token is invalid or expired", None),
            ErrorExample(ErrorCode::Forbidden, "Access token claim merchant_id must be one UUID", None),
            ErrorExample(
                ErrorCode::Forbidden,
                "Device does not belong to your merchant account",
                Some(device("POS-8F3A2C91")),
            ),
            ErrorExample(ErrorCode::Unauthorized, "Session has not been initiated", None),
            ErrorExample(ErrorCode::Forbidden, "Session does not act for a merchant", None),
            ErrorExample(ErrorCode::Forbidden, "Role does not allow this", None),
            ErrorExample(ErrorCode::TooLarge, "Request body is too large", None),
            ErrorExample(ErrorCode::UnsupportedMediaType, "Content-Type must be application/json", None),
            ErrorExample(ErrorCode::TooManyAttempts, "Too many failed claims, try again later", None),
            ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_REQUESTS, None),
            ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_BODIES, None),
            ErrorExample(ErrorCode::Invalid, BODY_NOT_RECEIVED, None),
        ]);
        describe(all)
    }
}

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(server_errors())
    }
}

pub(crate) fn server_errors() -> Vec<ErrorExample> {
    vec![
        ErrorExample(ErrorCode::Internal, "Internal server error", None),
        ErrorExample(ErrorCode::Unavailable, "Service temporarily unavailable", None),
    ]
}

fn terminal_errors() -> Vec<ErrorExample> {
    let mut all = server_errors();
    all.extend([
        ErrorExample(ErrorCode::TooManyAttempts, "Too many requests, try again later", None),
        ErrorExample(ErrorCode::Invalid, "X-Device-Id header is required", None),
        ErrorExample(
            ErrorCode::Invalid,
            "X-Device-Id header is invalid",
            Some(json!({ "message": "X-Device-Id must start with POS-" })),
        ),
        ErrorExample(ErrorCode::NotFound, "Device not found", Some(device("POS-UNKNOWN"))),
    ]);
    all
}

fn device(id: &str) -> Value {
    json!({ "device_id": id })
}

pub(crate) fn describe(all: Vec<ErrorExample>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<ErrorExample>> = BTreeMap::new();
    for example in all {
        by_status.entry(example.0.status().as_str().to_owned()).or_default().push(example);
    }
    by_status.into_iter().map(|(status, examples)| (status, RefOr::T(response(&examples)))).collect()
}

fn response(all: &[ErrorExample]) -> Response {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorEnvelope")));
    let mut response = ResponseBuilder::new().header("X-Trace-Id", header("Trace id of the request"));
    let mut meanings = Vec::new();
    for ErrorExample(failure, message, details) in all {
        let code = failure.code();
        meanings.push(format!("`{code}` {message}"));
        let mut error = json!({ "code": code, "message": message, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736" });
        if let (Some(details), Some(fields)) = (details, error.as_object_mut()) {
            fields.insert("details".to_owned(), details.clone());
        }
        let example = ExampleBuilder::new().value(Some(json!({ "error": error }))).build();
        content = content.examples_from_iter([(format!("{code} {message}"), example)]);
        response = match failure {
            ErrorCode::TooManyAttempts | ErrorCode::Unavailable => {
                response.header("Retry-After", header("Seconds to wait before the next attempt"))
            }
            ErrorCode::Unauthorized => response.header("WWW-Authenticate", header("`Bearer`, RFC 6750")),
            ErrorCode::Invalid
            | ErrorCode::CodeNotFound
            | ErrorCode::StateForbids
            | ErrorCode::Forbidden
            | ErrorCode::NotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::TooLarge
            | ErrorCode::UnsupportedMediaType
            | ErrorCode::Internal => response,
        };
    }
    response.description(meanings.join("; ")).content("application/json", content.build()).build()
}

fn header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().description(Some(description)).build()
}
