//! Errors of calls and of pairing, and which of them are worth a retry.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// An error response in the API's envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status.
    pub http_status: u16,
    /// The API's code, for example `4004`.
    pub code: String,
    /// The error message, in English.
    pub message: String,
    /// Structured details, depending on the code.
    pub details: Option<Value>,
    /// The trace id of the request in the server's log.
    pub trace_id: String,
    /// Delay before the next attempt, from `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http_status, code, message, trace_id, .. } = self;
        write!(f, "{message} (HTTP {http_status}, code {code}, trace {trace_id})")
    }
}

impl Error for ApiError {}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server returned an error envelope.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// No complete response within [`crate::TimeLimits`].
    #[error("the request timed out (trace {trace_id})")]
    TimedOut {
        /// The trace id that was sent.
        trace_id: String,
    },
    /// The connection failed or was broken.
    #[error("the server cannot be reached (trace {trace_id})")]
    Unreachable {
        /// The trace id that was sent.
        trace_id: String,
        /// The transport's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The response is not one of this API: a proxy, a login page, an incompatible server. The body is dropped, because
    /// it may contain a code.
    #[error("HTTP {http_status} with a response that is not this API's: {problem} (trace {trace_id})")]
    Unexpected {
        /// The HTTP status.
        http_status: u16,
        /// What is wrong with the response.
        problem: &'static str,
        /// Delay before the next attempt, from `Retry-After`.
        retry_after: Option<Duration>,
        /// The trace id that was sent.
        trace_id: String,
    },
}

impl CallError {
    /// The delay that the response asked for. Only 429 and 503 may ask for one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) if matches!(error.http_status, 429 | 503) => error.retry_after,
            Self::Unexpected { http_status: 429 | 503, retry_after, .. } => *retry_after,
            Self::Api(_) | Self::Unexpected { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } => None,
        }
    }

    /// The server's refusal if a retry cannot succeed: any 4xx in the API's envelope except 408 and 429.
    ///
    /// # Errors
    /// Returns the error itself if a retry may succeed.
    pub fn into_refusal(self) -> Result<Box<ApiError>, Self> {
        match self {
            Self::Api(error) if (400..500).contains(&error.http_status) && !matches!(error.http_status, 408 | 429) => {
                Ok(error)
            }
            transient => Err(transient),
        }
    }
}

/// Why pairing ended without a claim.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The server rejects this terminal (an unknown device, an unacceptable header); a retry cannot succeed.
    #[error("the server rejected this terminal")]
    Refused(#[source] Box<ApiError>),
    /// The limit of [`crate::Pairing::give_up_after`] has passed.
    #[error("the device was not claimed in time")]
    DeadlinePassed,
}
