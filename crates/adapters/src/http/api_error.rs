//! A failure on its way to the caller: status, code, safe text, and a cause that stays here.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use pos_domain::DeviceId;
use pos_port_storage::StorageError;
use serde_json::{Value, json};

/// What kind of failure it is: one row of the contract's table (section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
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

impl Failure {
    pub(super) fn status(self) -> StatusCode {
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

    pub(super) fn code(self) -> &'static str {
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

/// A failure with all that the door needs to answer and to log it. Cheap to clone: actix builds a response from a
/// borrowed error, so the response carries a second handle to it.
#[derive(Debug, Clone)]
pub(super) struct ApiError(Arc<Parts>);

#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) failure: Failure,
    pub(super) message: Cow<'static, str>,
    pub(super) details: Option<Value>,
    pub(super) retry_after: Option<Duration>,
    pub(super) allow: Option<String>,
    pub(super) challenge: Option<&'static str>,
    pub(super) cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// How long a caller should wait when a dependency is away.
const RETRY_LATER: Duration = Duration::from_secs(2);

impl ApiError {
    pub(super) fn new(failure: Failure, message: impl Into<Cow<'static, str>>) -> Self {
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

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Failure::Invalid, message)
    }

    /// The documented answer to a terminal nobody knows.
    pub(super) fn unknown_device(id: &DeviceId) -> Self {
        Self::new(Failure::NotFound, "Device not found").details(json!({ "device_id": id.as_str() }))
    }

    pub(super) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Failure::Internal, "Internal server error").with(|parts| parts.cause = Some(cause.into().into()))
    }

    pub(super) fn unavailable() -> Self {
        Self::new(Failure::Unavailable, "Service temporarily unavailable").retry_after(RETRY_LATER)
    }

    pub(super) fn unauthorized(message: &'static str, challenge: &'static str) -> Self {
        Self::new(Failure::Unauthorized, message).with(|parts| parts.challenge = Some(challenge))
    }

    pub(super) fn details(self, details: Value) -> Self {
        self.with(|parts| parts.details = Some(details))
    }

    pub(super) fn maybe_details(self, details: Option<Value>) -> Self {
        self.with(|parts| parts.details = details)
    }

    pub(super) fn retry_after(self, after: Duration) -> Self {
        self.with(|parts| parts.retry_after = Some(after))
    }

    pub(super) fn allow(self, methods: String) -> Self {
        self.with(|parts| parts.allow = Some(methods))
    }

    pub(super) fn caused_by(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.with(|parts| parts.cause = Some(cause.into().into()))
    }

    pub(super) fn parts(&self) -> &Parts {
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

    /// An empty answer that carries the error to the door, which knows the trace id and writes the envelope.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}
