use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt as _;
use serde::de::DeserializeOwned;
use serde_json::json;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

use super::api;
use super::header::{Sole, sole};
use crate::http::admission::Admission;
use crate::http::api_error::{ApiError, Failure};
use crate::http::connection::Connection;
use crate::http::door::too_large;

/// What some editors write before a text. A reader may skip it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A request body that can be read and validated.
pub(in crate::http) trait RequestBody: DeserializeOwned + Validate + 'static {
    /// The type's name in validation messages, as documented.
    const NAME: &'static str;
}

/// A JSON body that has passed its own validation. Fields nobody knows are ignored, so that a newer caller is served.
pub(in crate::http) struct ValidJson<T>(pub(in crate::http) T);

impl<T: RequestBody> FromRequest for ValidJson<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { validated(object(&json_bytes(&request, payload).await?)?).map(Self) })
    }
}

/// A body that has passed its own validation.
pub(in crate::http) fn validated<T: RequestBody>(body: T) -> Result<T, ApiError> {
    body.validate().map_err(|errors| invalid_body(&validation_message(T::NAME, &errors)))?;
    Ok(body)
}

/// A JSON object as a body, for types that are read straight into what they mean and so need no further validation.
pub(in crate::http) struct Body<T>(pub(in crate::http) T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move { object(&json_bytes(&request, payload).await?).map(Self) })
    }
}

/// The bytes of a body that is announced as JSON.
pub(super) async fn json_bytes(request: &HttpRequest, payload: Payload) -> Result<Vec<u8>, ApiError> {
    accept(request.headers(), &["application/json"], "Content-Type must be application/json")?;
    read(request, payload, most_bytes(request)?).await
}

/// The longest body that is accepted.
pub(super) fn most_bytes(request: &HttpRequest) -> Result<usize, ApiError> {
    let api = api(request)?;
    Ok(api.limits.max_body_bytes)
}

/// Checks that the body is declared as one of these media types, and without a content coding.
pub(super) fn accept(headers: &HeaderMap, wanted: &[&str], otherwise: &'static str) -> Result<(), ApiError> {
    let declared = content_type(headers)?.unwrap_or_default();
    let media_type = declared.split(';').next().unwrap_or_default().trim();
    if !wanted.iter().any(|wanted| media_type.eq_ignore_ascii_case(wanted)) {
        return Err(unsupported(otherwise));
    }
    without_coding(headers)
}

/// The value of `Content-Type`; `None` if it is missing or not ASCII.
pub(in crate::http) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    match sole(headers, &CONTENT_TYPE) {
        Sole::Value(text) => Ok(Some(text)),
        Sole::Missing | Sole::NotAscii => Ok(None),
        Sole::Repeated => Err(unsupported("Content-Type must be sent once")),
    }
}

/// Checks that the body has no content coding: `Content-Encoding` is missing, empty or `identity` (RFC 9110, section 8.4.1).
pub(in crate::http) fn without_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    match sole(headers, &CONTENT_ENCODING) {
        Sole::Missing => Ok(()),
        Sole::Value(coding) if coding.eq_ignore_ascii_case("identity") => Ok(()),
        Sole::Value(_) | Sole::NotAscii => Err(unsupported("Content-Encoding must be identity")),
        Sole::Repeated => Err(unsupported("Content-Encoding must be sent once")),
    }
}

/// 415/4015 with a message that names the header.
pub(in crate::http) fn unsupported(message: &'static str) -> ApiError {
    ApiError::new(Failure::UnsupportedMediaType, message)
}

/// A body of at most `most` bytes. One that has not arrived whole is waited for without a permit.
pub(super) async fn read(request: &HttpRequest, payload: Payload, most: usize) -> Result<Vec<u8>, ApiError> {
    let connection = Connection::of(request).map(Rc::as_ref);
    let mut body = Box::pin(collect(connection, payload, most));
    if let Some(arrived) = body.as_mut().now_or_never() {
        return arrived;
    }
    match Admission::of(request) {
        Some(admission) => admission.receive(body).await,
        None => body.await,
    }
}

async fn collect(connection: Option<&Connection>, mut payload: Payload, most: usize) -> Result<Vec<u8>, ApiError> {
    let too_large = || too_large(u64::try_from(most).unwrap_or(u64::MAX));
    let mut body = Vec::new();
    while let Some(chunk) = Connection::next_piece(connection, &mut payload).await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => too_large(),
            other => invalid_body(&other.to_string()),
        })?;
        if body.len().saturating_add(chunk.len()) > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A JSON object as a value; a fault is told with the field that it is in.
pub(super) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    // An array of values in the order of the fields would be read too.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid_body("expected a JSON object, not an array"));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| invalid_body(&error.to_string()))?;
    json.end().map_err(|error| invalid_body(&error.to_string()))?;
    Ok(value)
}

pub(super) fn invalid_body(why: &str) -> ApiError {
    ApiError::invalid("Invalid request body").details(json!({ "message": why }))
}

/// The documented form, a line for each fault:
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
