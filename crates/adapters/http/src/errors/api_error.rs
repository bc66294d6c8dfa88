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

/// Kind of error: a row of the contract's table (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    Invalid,
    CodeNotFound,
    StateForbids,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
    TooManyAttempts,
    Internal,
    Unavailable,
}

impl ErrorCode {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Invalid | Self::CodeNotFound | Self::StateForbids => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Invalid => "4000",
            Self::CodeNotFound | Self::NotFound => "4004",
            Self::StateForbids => "4220",
            Self::Unauthorized => "4001",
            Self::Forbidden => "4003",
            Self::MethodNotAllowed => "4005",
            Self::TooLarge => "4013",
            Self::UnsupportedMediaType => "4015",
            Self::TooManyAttempts => "4290",
            Self::Internal => "5000",
            Self::Unavailable => "5003",
        }
    }
}

/// An error with everything the middleware needs to send and log it. Cheap to clone: actix builds a response from a
/// borrowed error, so the response holds a second reference to it.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(Arc<Parts>);

#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) failure: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) details: Option<Value>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) allow: Option<String>,
    pub(crate) challenge: Option<&'static str>,
    pub(crate) cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// `Retry-After` while a dependency is unavailable.
const RETRY_LATER: Duration = Duration::from_secs(2);

impl ApiError {
    pub(crate) fn new(failure: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Parts {
            failure,
            message: message.into(),
            details: None,
            retry_after: None,
            allow: None,
            challenge: None,
            cause: None,
        }))
    }

    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// The documented response for an unknown device.
    pub(crate) fn unknown_device(id: &DeviceId) -> Self {
        Self::new(ErrorCode::NotFound, "Device not found").details(json!({ "device_id": id.as_str() }))
    }

    pub(crate) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(ErrorCode::Internal, "Internal server error").with(|parts| parts.cause = Some(cause.into().into()))
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(ErrorCode::Unavailable, "Service temporarily unavailable").retry_after(RETRY_LATER)
    }

    pub(crate) fn unauthorized(message: &'static str, challenge: &'static str) -> Self {
        Self::new(ErrorCode::Unauthorized, message).with(|parts| parts.challenge = Some(challenge))
    }

    pub(crate) fn details(self, details: Value) -> Self {
        self.with(|parts| parts.details = Some(details))
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
        write!(f, "{} {}", self.0.failure.code(), self.0.message)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.0.failure.status()
    }

    /// Returns an empty response with the error as an extension. The middleware knows the trace id and writes the envelope.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}
