//! Table of the API's errors: code and text of each, for the responses and for their description in OpenAPI.

use pos_port_identity::VerifyError;
use serde_json::{Value, json};

use crate::errors::api_error::{ApiError, Challenge};
use crate::errors::code::ErrorCode::{self, *};

/// An error: its code and its text, which is the message of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorRow {
    pub(crate) code: ErrorCode,
    pub(crate) text: &'static str,
    /// Challenge of a 401.
    pub(crate) challenge: Option<Challenge>,
}

impl ErrorRow {
    /// Returns the error with details.
    pub(crate) fn with(self, details: impl Into<Option<Value>>) -> ApiError {
        ApiError::from(self).maybe_details(details.into())
    }

    /// Returns the error with a `message` in its details.
    pub(crate) fn because(self, why: &str) -> ApiError {
        self.with(json!({ "message": why }))
    }
}

const fn row(code: ErrorCode, text: &'static str) -> ErrorRow {
    ErrorRow { code, text, challenge: None }
}

const fn unauthorized(text: &'static str, challenge: Challenge) -> ErrorRow {
    ErrorRow { code: Unauthorized, text, challenge: Some(challenge) }
}

// Any request.
pub(crate) const INTERNAL: ErrorRow = row(Internal, "Internal server error");
pub(crate) const UNAVAILABLE: ErrorRow = row(Unavailable, "Service temporarily unavailable");
pub(crate) const NOT_FOUND: ErrorRow = row(NotFound, "Not found");
pub(crate) const METHOD_NOT_ALLOWED: ErrorRow = row(MethodNotAllowed, "Method not allowed");
pub(crate) const INVALID_REQUEST: ErrorRow = row(Invalid, "Invalid request");
pub(crate) const MALFORMED_REQUEST: ErrorRow = row(Invalid, "Malformed HTTP request");
pub(crate) const HEADERS_NOT_RECEIVED: ErrorRow = row(Invalid, "Request headers did not arrive in time");
pub(crate) const HEADERS_TOO_LARGE: ErrorRow = row(Invalid, "Request headers are too large");
pub(crate) const CROSS_ORIGIN: ErrorRow = row(Invalid, "Cross-origin request is not allowed");
pub(crate) const INVALID_QUERY: ErrorRow = row(Invalid, "Invalid query parameters");

// Limits.
/// A terminal or an address exceeds its rate limit.
pub(crate) const RATE_LIMITED: ErrorRow = row(TooManyAttempts, "Too many requests, try again later");
/// An account exceeds its concurrency limit.
pub(crate) const TOO_MANY_REQUESTS: ErrorRow = row(TooManyAttempts, "Too many requests at once, try again later");
/// An unfinished body was aborted in favour of a later one of the same caller.
pub(crate) const TOO_MANY_BODIES: ErrorRow =
    row(TooManyAttempts, "Too many unfinished request bodies, try again later");
pub(crate) const TOO_MANY_CLAIMS: ErrorRow = row(TooManyAttempts, "Too many failed claims, try again later");
pub(crate) const TOO_MANY_ATTEMPTS: ErrorRow = row(TooManyAttempts, "Too many failed attempts, try again later");
pub(crate) const TOO_MANY_REFUSED_ROWS: ErrorRow = row(TooManyAttempts, "Too many refused rows, try again later");

// Bodies.
pub(crate) const INVALID_BODY: ErrorRow = row(Invalid, "Invalid request body");
/// The whole body did not arrive in time.
pub(crate) const BODY_NOT_RECEIVED: ErrorRow = row(Invalid, "Request body was not received in time");
/// The next part of an upload did not arrive in time.
pub(crate) const UPLOAD_STALLED: ErrorRow = row(Invalid, "Request body did not arrive in time");
pub(crate) const BODY_TOO_LARGE: ErrorRow = row(TooLarge, "Request body is too large");
pub(crate) const NOT_JSON: ErrorRow = row(UnsupportedMediaType, "Content-Type must be application/json");
pub(crate) const NOT_A_MERGE_PATCH: ErrorRow =
    row(UnsupportedMediaType, "Content-Type must be application/merge-patch+json or application/json");
pub(crate) const NOT_A_FORM: ErrorRow =
    row(UnsupportedMediaType, "Content-Type must be application/x-www-form-urlencoded");
pub(crate) const NOT_AN_IMPORT_FILE: ErrorRow =
    row(UnsupportedMediaType, "Content-Type must be text/csv, application/x-ndjson or application/jsonl");
pub(crate) const CONTENT_TYPE_REPEATED: ErrorRow = row(UnsupportedMediaType, "Content-Type must be sent once");
pub(crate) const CONTENT_CODING: ErrorRow = row(UnsupportedMediaType, "Content-Encoding must be identity");
pub(crate) const CONTENT_CODING_REPEATED: ErrorRow = row(UnsupportedMediaType, "Content-Encoding must be sent once");

// Tokens and sessions.
pub(crate) const TOKEN_MISSING: ErrorRow =
    unauthorized("Authorization header with a Bearer token is required", Challenge::Bearer);
pub(crate) const TOKEN_INVALID: ErrorRow =
    unauthorized("Access token is invalid or expired", Challenge::InvalidToken { described: false });
pub(crate) const NOT_INITIATED: ErrorRow =
    unauthorized("Session has not been initiated", Challenge::InvalidToken { described: true });
pub(crate) const LOGGED_OUT: ErrorRow =
    unauthorized("Session was logged out", Challenge::InvalidToken { described: true });
pub(crate) const SESSION_ENDED: ErrorRow =
    unauthorized("Session was ended", Challenge::InvalidToken { described: true });
pub(crate) const CLIENT_REJECTED: ErrorRow = unauthorized("Client credentials are invalid", Challenge::Bearer);
pub(crate) const LOGOUT_TOKEN_INVALID: ErrorRow = row(Invalid, "Logout token is invalid");
const UNKNOWN_HOST: ErrorRow = row(Invalid, "Unknown host");
pub(crate) const NO_PARTY: ErrorRow = row(Forbidden, "Access token names neither a merchant nor a reseller");
pub(crate) const NOT_A_MEMBER: ErrorRow =
    row(Forbidden, "User is not a member of the merchant or reseller that the access token names");
pub(crate) const NO_ROLE: ErrorRow = row(Forbidden, "Access token names no role for the merchant or reseller");
pub(crate) const NOT_A_MERCHANTS: ErrorRow = row(Forbidden, "Session does not act for a merchant");
pub(crate) const NOT_A_RESELLERS: ErrorRow = row(Forbidden, "Session does not act for a reseller");
pub(crate) const ROLE_TOO_LOW: ErrorRow = row(Forbidden, "Role does not allow this");

// Devices, locations and merchants.
pub(crate) const DEVICE_NOT_FOUND: ErrorRow = row(NotFound, "Device not found");
pub(crate) const LOCATION_NOT_FOUND: ErrorRow = row(NotFound, "Location not found");
pub(crate) const MERCHANT_NOT_FOUND: ErrorRow = row(NotFound, "Merchant not found");
/// A location in a body, not in the path.
pub(crate) const UNKNOWN_LOCATION: ErrorRow = row(Invalid, "Unknown location");
pub(crate) const KEY_REUSED: ErrorRow = row(StateForbids, "Idempotency-Key was used for another request");
pub(crate) const DEVICE_EXISTS: ErrorRow = row(StateForbids, "Device already exists");
pub(crate) const ALREADY_CLAIMED: ErrorRow = row(StateForbids, "Device has already been claimed");
pub(crate) const NOT_CLAIMED: ErrorRow = row(StateForbids, "Device has not been claimed");
pub(crate) const DECOMMISSIONED: ErrorRow = row(StateForbids, "Device has been decommissioned");
pub(crate) const ALREADY_DECOMMISSIONED: ErrorRow = row(StateForbids, "Device has already been decommissioned");
pub(crate) const SAME_MERCHANT: ErrorRow = row(StateForbids, "Device belongs to this merchant already");

// Pairing.
pub(crate) const CODE_NOT_FOUND: ErrorRow = row(CodeNotFound, "Pairing code not found");
pub(crate) const CODE_EXPIRED: ErrorRow = row(StateForbids, "Pairing code has expired");
pub(crate) const CODE_USED: ErrorRow = row(StateForbids, "Pairing code has already been used");
pub(crate) const NOT_OWNER: ErrorRow = row(Forbidden, "Device does not belong to your merchant account");
pub(crate) const NO_CODE: ErrorRow = row(Internal, "Failed to create pairing code");

/// 400/4000: a header is missing.
pub(crate) fn header_missing(name: &str) -> ApiError {
    ApiError::new(Invalid, format!("{name} header is required"))
}

/// 400/4000: a header is invalid.
pub(crate) fn header_invalid(name: &str, why: impl std::fmt::Display) -> ApiError {
    let details = json!({ "message": format!("{name} {why}") });
    ApiError::new(Invalid, format!("{name} header is invalid")).maybe_details(Some(details))
}

/// 400/4000: no application is served under a host.
pub(crate) fn unknown_host(host: &str) -> ApiError {
    UNKNOWN_HOST.with(json!({
        "host": host,
        "message": "no application is served under this host: send the name in the portal's address, without \
                    scheme, port and path",
    }))
}

/// 403/4003: a valid token has an unusable claim. The text names the claim, whose name is a setting.
pub(crate) fn unusable_claim(error: &VerifyError) -> ApiError {
    ApiError::new(Forbidden, error.to_string())
}
