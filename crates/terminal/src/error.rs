//! What can go wrong, and what a terminal should make of it.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// A failure that the server told in its own envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The HTTP status.
    pub http_status: u16,
    /// The API's code, for example `4004`.
    pub code: String,
    /// What happened, in English.
    pub message: String,
    /// More, depending on the code.
    pub details: Option<Value>,
    /// Finds the request in the server's log.
    pub trace_id: String,
    /// How long the server asks to wait before the next attempt.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { http_status, code, message, trace_id, .. } = self;
        write!(f, "{message} (HTTP {http_status}, code {code}, trace {trace_id})")
    }
}

impl Error for ApiError {}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server refused, or failed and said so.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// No complete answer within [`crate::TimeLimits`].
    #[error("no answer in time (trace {trace_id})")]
    TimedOut {
        /// The trace id that was sent.
        trace_id: String,
    },
    /// No connection, or it broke.
    #[error("the server cannot be reached (trace {trace_id})")]
    Unreachable {
        /// The trace id that was sent.
        trace_id: String,
        /// What the network said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something answered, but not this API: a proxy, a login page, an incompatible server. The body is not kept, as
    /// it may hold a code.
    #[error("HTTP {http_status} with an answer that is not this API's: {problem} (trace {trace_id})")]
    Unexpected {
        /// The HTTP status.
        http_status: u16,
        /// What is wrong with the answer.
        problem: &'static str,
        /// How long the answer asks to wait before the next attempt.
        retry_after: Option<Duration>,
        /// The trace id that was sent.
        trace_id: String,
    },
}

impl CallError {
    /// How long the answer asked to wait, if it was one that may ask (429 and 503).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) if matches!(error.http_status, 429 | 503) => error.retry_after,
            Self::Unexpected { http_status: 429 | 503, retry_after, .. } => *retry_after,
            Self::Api(_) | Self::Unexpected { .. } | Self::TimedOut { .. } | Self::Unreachable { .. } => None,
        }
    }

    /// The server's refusal, if trying the same again cannot help: any 4xx in the API's envelope but 408 and 429.
    ///
    /// # Errors
    /// Gives the error back when it may pass.
    pub fn into_refusal(self) -> Result<Box<ApiError>, Self> {
        match self {
            Self::Api(error) if (400..500).contains(&error.http_status) && !matches!(error.http_status, 408 | 429) => {
                Ok(error)
            }
            passing => Err(passing),
        }
    }
}

/// Why pairing ended without a claim.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The server refuses this terminal (an unknown device, an unacceptable header): asking again will not help.
    #[error("the server refuses this terminal")]
    Refused(#[source] Box<ApiError>),
    /// [`crate::Pairing::give_up_after`] has passed.
    #[error("nobody claimed the device in time")]
    DeadlinePassed,
}
