//! OpenAPI error responses of the session routes.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use crate::errors::api_error::ErrorCode;
use crate::limits::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use crate::openapi::responses::{ErrorExample, describe, server_errors};

/// Errors of initiating a session.
pub(crate) struct InitiateErrors;

/// Errors of ending a session.
pub(crate) struct EndErrors;

/// Errors of a back-channel logout.
pub(crate) struct BackchannelErrors;

/// Errors of starting an API client's session.
pub(crate) struct ClientSessionErrors;

impl IntoResponses for InitiateErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = bearer_errors();
        all.extend(body_errors("InitiateSessionRequest", "Host", "Content-Type must be application/json"));
        let hint = "no application is served under this host: send the name in the portal's address, without scheme, \
                    port and path";
        all.extend([
            ErrorExample(
                ErrorCode::Invalid,
                "Unknown host",
                Some(json!({ "host": "www.example.com", "message": hint })),
            ),
            ErrorExample(ErrorCode::Unauthorized, "Session was logged out", None),
            ErrorExample(ErrorCode::Unauthorized, "Session was ended", None),
            ErrorExample(ErrorCode::Forbidden, "Access token names neither a merchant nor a reseller", None),
            ErrorExample(
                ErrorCode::Forbidden,
                "User is not a member of the merchant or reseller that the access token names",
                None,
            ),
            ErrorExample(ErrorCode::Forbidden, "Access token names no role for the merchant or reseller", None),
        ]);
        describe(all)
    }
}

impl IntoResponses for EndErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(bearer_errors())
    }
}

impl IntoResponses for BackchannelErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = server_errors();
        let form = "Content-Type must be application/x-www-form-urlencoded";
        all.extend(body_errors("BackchannelLogoutRequest", "LogoutToken", form));
        all.push(ErrorExample(ErrorCode::Invalid, "Logout token is invalid", None));
        describe(all)
    }
}

impl IntoResponses for ClientSessionErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = server_errors();
        all.extend(body_errors("ClientSessionRequest", "ClientSecret", "Content-Type must be application/json"));
        all.push(ErrorExample(ErrorCode::Unauthorized, "Client credentials are invalid", None));
        all.push(ErrorExample(ErrorCode::Forbidden, "Access token claim merchant_id must be one UUID", None));
        all.push(ErrorExample(ErrorCode::TooManyAttempts, "Too many failed attempts, try again later", None));
        describe(all)
    }
}

fn bearer_errors() -> Vec<ErrorExample> {
    let mut all = server_errors();
    all.push(ErrorExample(ErrorCode::Unauthorized, "Authorization header with a Bearer token is required", None));
    all.push(ErrorExample(ErrorCode::Unauthorized, "Access token is invalid or expired", None));
    all.push(ErrorExample(ErrorCode::Forbidden, "Access token claim merchant_id must be one UUID", None));
    all.push(ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_REQUESTS, None));
    all
}

fn body_errors(type_name: &str, field: &str, media: &'static str) -> [ErrorExample; 5] {
    let required =
        format!("Key: '{type_name}.{field}' Error:Field validation for '{field}' failed on the 'required' tag");
    [
        ErrorExample(ErrorCode::Invalid, "Invalid request body", Some(json!({ "message": required }))),
        ErrorExample(ErrorCode::Invalid, BODY_NOT_RECEIVED, None),
        ErrorExample(ErrorCode::TooLarge, "Request body is too large", None),
        ErrorExample(ErrorCode::UnsupportedMediaType, media, None),
        ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}
