//! API error: status, code, public message and details, and an internal cause that is only logged.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use pos_domain::shared::DeviceId;
use pos_port_storage::shared::StorageError;
use serde_json::{Value, json};

use crate::errors::code::ErrorCode;
use crate::errors::table::{DEVICE_NOT_FOUND, ErrorRow, INTERNAL, UNAVAILABLE};

/// An error with everything the middleware needs to send and log it. Cheap to clone: actix builds a response from a
/// borrowed error, so the response holds a second reference to it.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Arc<Parts>);

#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) details: Option<Value>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) allow: Option<String>,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// `WWW-Authenticate` of a 401 (RFC 6750, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// The request has no credentials, or not those of a token.
    Bearer,
    /// The token is not accepted. The message is repeated as the description if that helps the caller.
    InvalidToken { described: bool },
}

impl Challenge {
    /// Returns the value of the header for an error with this message.
    pub(crate) fn header(self, message: &str) -> Cow<'static, str> {
        match self {
            Self::Bearer => "Bearer".into(),
            Self::InvalidToken { described: false } => "Bearer error=\"invalid_token\"".into(),
            Self::InvalidToken { described: true } => {
                format!("Bearer error=\"invalid_token\", error_description=\"{message}\"").into()
            }
        }
    }
}

/// `Retry-After` while a dependency is unavailable.
const RETRY_LATER: Duration = Duration::from_secs(2);

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Parts {
            code,
            message: message.into(),
            details: None,
            retry_after: None,
            allow: None,
            challenge: None,
            cause: None,
        }))
    }

    /// The documented response for an unknown device.
    pub(crate) fn unknown_device(id: &DeviceId) -> Self {
        DEVICE_NOT_FOUND.with(json!({ "device_id": id.as_str() }))
    }

    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::from(INTERNAL).caused_by(cause)
    }

    pub(crate) fn unavailable() -> Self {
        Self::from(UNAVAILABLE).retry_after(RETRY_LATER)
    }

    pub(crate) fn maybe_details(self, details: Option<Value>) -> Self {
        self.with(|parts| parts.details = details)
    }

    pub(crate) fn retry_after(self, after: Duration) -> Self {
        self.with(|parts| parts.retry_after = Some(after))
    }

    pub(crate) fn allow(self, methods: String) -> Self {
        self.with(|parts| parts.allow = Some(methods))
    }

    pub(crate) fn caused_by(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.with(|parts| parts.cause = Some(cause.into().into()))
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    fn with(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl From<ErrorRow> for ApiError {
    fn from(row: ErrorRow) -> Self {
        Self::new(row.code, row.text).with(|parts| parts.challenge = row.challenge)
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) => Self::unavailable().caused_by(error),
            StorageError::Fault(_) => Self::internal(error),
        }
    }
}

impl From<time::error::Format> for ApiError {
    fn from(error: time::error::Format) -> Self {
        Self::internal(error)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.code.code(), self.0.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    /// Returns an empty response with the error as an extension. The middleware knows the trace id and writes the envelope.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}
