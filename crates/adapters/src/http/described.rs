//! What routes have in common, as the API's description tells it: the terminal headers, and the failures of each route
//! with an example of every kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoParams, IntoResponses};

use super::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use super::api_error::Failure;

/// The terminal headers.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers that the Terminal extractor reads")]
pub(super) struct TerminalParams {
    /// The terminal's id. New devices have `POS-` and eight upper-case hex digits.
    #[param(rename = "X-Device-Id", example = "POS-8F3A2C91", pattern = "^POS-[!-~]{0,60}$", max_length = 64)]
    device_id: String,
    /// The app and, in parentheses, the operating system and the model.
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

/// One failure as a caller sees it.
pub(super) struct Told(pub(super) Failure, pub(super) &'static str, pub(super) Option<Value>);

/// What any call of a terminal may be told.
pub(super) struct TerminalErrors;

/// What a request for a pairing code may be told.
pub(super) struct PairingCodeErrors;

/// What a claim may be told.
pub(super) struct ClaimErrors;

/// What a readiness probe may be told.
pub(super) struct NotReady;

impl IntoResponses for TerminalErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(terminal())
    }
}

impl IntoResponses for PairingCodeErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = terminal();
        all.push(Told(Failure::StateForbids, "Device has already been claimed", Some(device("POS-8F3A2C91"))));
        all.push(Told(Failure::Internal, "Failed to create pairing code", None));
        describe(all)
    }
}

impl IntoResponses for ClaimErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let required = "Key: 'ClaimDeviceRequest.PairingCode' Error:Field validation for 'PairingCode' failed on the \
                        'required' tag";
        let code = |code: &str| Some(json!({ "pairing_code": code }));
        let mut all = ours();
        all.extend([
            Told(Failure::Invalid, "Invalid request body", Some(json!({ "message": required }))),
            Told(
                Failure::Invalid,
                "Idempotency-Key header is invalid",
                Some(json!({ "message": "Idempotency-Key must be sent once" })),
            ),
            Told(Failure::CodeNotFound, "Pairing code not found", code("XXXXXX")),
            Told(Failure::StateForbids, "Idempotency-Key was used for another request", None),
            Told(Failure::StateForbids, "Pairing code has expired", code("K7M3NP")),
            Told(Failure::StateForbids, "Pairing code has already been used", code("K7M3NP")),
            Told(Failure::Unauthorized, "Access token is invalid or expired", None),
            Told(Failure::Forbidden, "Access token claim merchant_id must be one UUID", None),
            Told(Failure::Forbidden, "Device does not belong to your merchant account", Some(device("POS-8F3A2C91"))),
            Told(Failure::Unauthorized, "Session has not been initiated", None),
            Told(Failure::Forbidden, "Session does not act for a merchant", None),
            Told(Failure::Forbidden, "Role does not allow this", None),
            Told(Failure::TooLarge, "Request body is too large", None),
            Told(Failure::UnsupportedMediaType, "Content-Type must be application/json", None),
            Told(Failure::TooManyAttempts, "Too many failed claims, try again later", None),
            Told(Failure::TooManyAttempts, TOO_MANY_REQUESTS, None),
            Told(Failure::TooManyAttempts, TOO_MANY_BODIES, None),
            Told(Failure::Invalid, BODY_NOT_RECEIVED, None),
        ]);
        describe(all)
    }
}

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(ours())
    }
}

pub(super) fn ours() -> Vec<Told> {
    vec![
        Told(Failure::Internal, "Internal server error", None),
        Told(Failure::Unavailable, "Service temporarily unavailable", None),
    ]
}

fn terminal() -> Vec<Told> {
    let mut all = ours();
    all.extend([
        Told(Failure::TooManyAttempts, "Too many requests, try again later", None),
        Told(Failure::Invalid, "X-Device-Id header is required", None),
        Told(
            Failure::Invalid,
            "X-Device-Id header is invalid",
            Some(json!({ "message": "X-Device-Id must start with POS-" })),
        ),
        Told(Failure::NotFound, "Device not found", Some(device("POS-UNKNOWN"))),
    ]);
    all
}

fn device(id: &str) -> Value {
    json!({ "device_id": id })
}

pub(super) fn describe(all: Vec<Told>) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for told in all {
        by_status.entry(told.0.status().as_str().to_owned()).or_default().push(told);
    }
    by_status.into_iter().map(|(status, told)| (status, RefOr::T(response(&told)))).collect()
}

fn response(all: &[Told]) -> Response {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorEnvelope")));
    let mut response = ResponseBuilder::new().header("X-Trace-Id", header("The answer's `trace_id`"));
    let mut meanings = Vec::new();
    for Told(failure, message, details) in all {
        let code = failure.code();
        meanings.push(format!("`{code}` {message}"));
        let mut error = json!({ "code": code, "message": message, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736" });
        if let (Some(details), Some(fields)) = (details, error.as_object_mut()) {
            fields.insert("details".to_owned(), details.clone());
        }
        let example = ExampleBuilder::new().value(Some(json!({ "error": error }))).build();
        content = content.examples_from_iter([(format!("{code} {message}"), example)]);
        response = match failure {
            Failure::TooManyAttempts | Failure::Unavailable => {
                response.header("Retry-After", header("Seconds to wait before the next attempt"))
            }
            Failure::Unauthorized => response.header("WWW-Authenticate", header("`Bearer`, RFC 6750")),
            Failure::Invalid
            | Failure::CodeNotFound
            | Failure::StateForbids
            | Failure::Forbidden
            | Failure::NotFound
            | Failure::MethodNotAllowed
            | Failure::TooLarge
            | Failure::UnsupportedMediaType
            | Failure::Internal => response,
        };
    }
    response.description(meanings.join("; ")).content("application/json", content.build()).build()
}

fn header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().description(Some(description)).build()
}
