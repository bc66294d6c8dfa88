//! OpenAPI descriptions shared by the routes: terminal headers and error responses with an example of each error.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoParams, IntoResponses};

use crate::errors::api_error::{ApiError, Parts};
use crate::errors::code::ErrorCode;
use crate::errors::sessions::merchant_claim;
use crate::errors::table::{
    ALREADY_CLAIMED, BODY_NOT_RECEIVED, BODY_TOO_LARGE, CODE_EXPIRED, CODE_NOT_FOUND, CODE_USED, DEVICE_NOT_FOUND,
    INTERNAL, INVALID_BODY, KEY_REUSED, NO_CODE, NOT_A_MERCHANTS, NOT_INITIATED, NOT_JSON, NOT_OWNER, RATE_LIMITED,
    ROLE_TOO_LOW, TOKEN_INVALID, TOO_MANY_BODIES, TOO_MANY_CLAIMS, TOO_MANY_REQUESTS, UNAVAILABLE, header_invalid,
    header_missing,
};
use crate::extract::IDEMPOTENCY_KEY;

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
        describe(&terminal_errors())
    }
}

impl IntoResponses for PairingCodeErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = terminal_errors();
        all.extend([ALREADY_CLAIMED.with(device("POS-8F3A2C91")), NO_CODE.into()]);
        describe(&all)
    }
}

impl IntoResponses for ClaimErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let required = "Key: 'ClaimDeviceRequest.PairingCode' Error:Field validation for 'PairingCode' failed on the \
                        'required' tag";
        let code = |code: &str| json!({ "pairing_code": code });
        let mut all = server_errors();
        all.extend([
            INVALID_BODY.because(required),
            header_invalid(IDEMPOTENCY_KEY, "must be sent once"),
            CODE_NOT_FOUND.with(code("XXXXXX")),
            KEY_REUSED.into(),
            CODE_EXPIRED.with(code("K7M3NP")),
            CODE_USED.with(code("K7M3NP")),
            TOKEN_INVALID.into(),
            merchant_claim(),
            NOT_OWNER.with(device("POS-8F3A2C91")),
            NOT_INITIATED.into(),
            NOT_A_MERCHANTS.into(),
            ROLE_TOO_LOW.into(),
            BODY_TOO_LARGE.into(),
            NOT_JSON.into(),
            TOO_MANY_CLAIMS.into(),
            TOO_MANY_REQUESTS.into(),
            TOO_MANY_BODIES.into(),
            BODY_NOT_RECEIVED.into(),
        ]);
        describe(&all)
    }
}

impl IntoResponses for NotReady {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(&server_errors())
    }
}

/// Errors of every route.
pub(crate) fn server_errors() -> Vec<ApiError> {
    vec![INTERNAL.into(), UNAVAILABLE.into()]
}

fn terminal_errors() -> Vec<ApiError> {
    let mut all = server_errors();
    all.extend([
        RATE_LIMITED.into(),
        header_missing("X-Device-Id"),
        header_invalid("X-Device-Id", "must start with POS-"),
        DEVICE_NOT_FOUND.with(device("POS-UNKNOWN")),
    ]);
    all
}

fn device(id: &str) -> Value {
    json!({ "device_id": id })
}

/// Describes errors by status, with an example of each.
pub(crate) fn describe(all: &[ApiError]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<&ApiError>> = BTreeMap::new();
    for error in all {
        by_status.entry(error.parts().code.status().as_str().to_owned()).or_default().push(error);
    }
    by_status.into_iter().map(|(status, examples)| (status, RefOr::T(response(&examples)))).collect()
}

fn response(all: &[&ApiError]) -> Response {
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorEnvelope")));
    let mut response = ResponseBuilder::new().header("X-Trace-Id", header("Trace id of the request"));
    let mut meanings = Vec::new();
    for error in all {
        let Parts { code: kind, message, details, .. } = error.parts();
        let code = kind.code();
        meanings.push(format!("`{code}` {message}"));
        let mut error = json!({ "code": code, "message": message, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736" });
        if let (Some(details), Some(fields)) = (details, error.as_object_mut()) {
            fields.insert("details".to_owned(), details.clone());
        }
        let example = ExampleBuilder::new().value(Some(json!({ "error": error }))).build();
        content = content.examples_from_iter([(format!("{code} {message}"), example)]);
        response = match kind {
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
