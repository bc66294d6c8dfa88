//! Extractors of JSON bodies, and shared checks of bodies and content types.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use crate::errors::api_error::ApiError;
use crate::errors::table::{
    CONTENT_CODING, CONTENT_CODING_REPEATED, CONTENT_TYPE_REPEATED, ErrorRow, INVALID_BODY, NOT_JSON,
};
use crate::extract::api;
use crate::extract::header::{SingleHeader, single_header};
use crate::limits::admission::Admission;
use crate::server::connection::Connection;
use crate::server::request_middleware::too_large;

/// Byte order mark, which some editors write. A parser may ignore it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A request body with validation rules.
pub(crate) trait RequestBody: DeserializeOwned + Validate + 'static {
    /// Name of the type in the documented validation messages.
    const NAME: &'static str;
}

/// Validated JSON body. Unknown fields are ignored, so that newer clients are served.
pub(crate) struct ValidJson<T>(pub(crate) T);

impl<T: RequestBody> FromRequest for ValidJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { validated(object(&json_bytes(&request, payload).await?)?).map(Self) })
    }
}

/// Validates a body.
pub(crate) fn validated<T: RequestBody>(body: T) -> Result<T, ApiError> {
    body.validate().map_err(|errors| invalid_body(&validation_message(T::NAME, &errors)))?;
    Ok(body)
}

/// JSON body of a type that deserialization validates completely.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { object(&json_bytes(&request, payload).await?).map(Self) })
    }
}

/// Reads a body that is declared as JSON.
pub(super) async fn json_bytes(request: &HttpRequest, payload: Payload) -> Result<Vec<u8>, ApiError> {
    accept(request.headers(), &["application/json"], NOT_JSON)?;
    read(request, payload, max_body_bytes(request)?).await
}

/// Returns the maximum length of a body.
pub(super) fn max_body_bytes(request: &HttpRequest) -> Result<usize, ApiError> {
    let api = api(request)?;
    Ok(api.limits.max_body_bytes)
}

/// Checks that the body is declared as one of these media types and has no content coding.
pub(super) fn accept(headers: &HeaderMap, accepted: &[&str], error: ErrorRow) -> Result<(), ApiError> {
    let declared = content_type(headers)?.unwrap_or_default();
    let media_type = declared.split(';').next().unwrap_or_default().trim();
    if !accepted.iter().any(|accepted| media_type.eq_ignore_ascii_case(accepted)) {
        return Err(error.into());
    }
    without_coding(headers)
}

/// Returns the value of `Content-Type`; `None` if it is missing or not ASCII.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    match single_header(headers, &CONTENT_TYPE) {
        SingleHeader::Value(text) => Ok(Some(text)),
        SingleHeader::Missing | SingleHeader::NotAscii => Ok(None),
        SingleHeader::Repeated => Err(CONTENT_TYPE_REPEATED.into()),
    }
}

/// Checks that the body has no content coding: `Content-Encoding` is missing, empty or `identity` (RFC 9110, section 8.4.1).
pub(crate) fn without_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    match single_header(headers, &CONTENT_ENCODING) {
        SingleHeader::Missing => Ok(()),
        SingleHeader::Value(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        SingleHeader::Value(_) | SingleHeader::NotAscii => Err(CONTENT_CODING.into()),
        SingleHeader::Repeated => Err(CONTENT_CODING_REPEATED.into()),
    }
}

/// Reads a body of at most `max_bytes`. Waits for an incomplete body without a permit.
pub(super) async fn read(request: &HttpRequest, payload: Payload, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let connection = Connection::of(request).map(Rc::as_ref);
    let mut body = Box::pin(collect(connection, payload, max_bytes));
    if let Some(complete) = body.as_mut().now_or_never() {
        return complete;
    }
    match Admission::of(request) {
        Some(admission) => admission.receive(body).await,
        None => body.await,
    }
}

async fn collect(connection: Option<&Connection>, mut payload: Payload, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let too_large = || too_large(u64::try_from(max_bytes).unwrap_or(u64::MAX));
    let mut body = Vec::new();
    while let Some(chunk) = Connection::next_chunk(connection, &mut payload).await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => too_large(),
            other => invalid_body(&other.to_string()),
        })?;
        if body.len().saturating_add(chunk.len()) > max_bytes {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Deserializes a JSON object. An error names the path of the field.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // Serde would also deserialize a struct from an array of its fields.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid_body("expected a JSON object, not an array"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| invalid_body(&error.to_string()))?;
    json.end().map_err(|error| invalid_body(&error.to_string()))?;
    Ok(value)
}

pub(crate) fn invalid_body(why: &str) -> ApiError {
    INVALID_BODY.because(why)
}

/// Formats validation errors as documented, one line per error:
/// `Key: 'ClaimDeviceRequest.PairingCode' Error:Field validation for 'PairingCode' failed on the 'required' tag`.
pub(super) fn validation_message(type_name: &str, errors: &ValidationErrors) -> String {
    let mut lines = Vec::new();
    for (field, kind) in errors.errors() {
        let field = pascal_case(field);
        if let ValidationErrorsKind::Field(faults) = kind {
            lines.extend(faults.iter().map(|fault| {
                let tag = &fault.code;
                format!("Key: '{type_name}.{field}' Error:Field validation for '{field}' failed on the '{tag}' tag")
            }));
        }
    }
    lines.sort();
    lines.join("\n")
}

fn pascal_case(field: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    field.split('_').map(capitalised).collect()
}
