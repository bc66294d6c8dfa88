//! The failures of the session routes.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use super::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use super::api_error::Failure;
use super::described::{Told, describe, ours};

/// What a call to initiate a session may be told.
pub(super) struct InitiateErrors;

/// What a call to end a session may be told.
pub(super) struct EndErrors;

/// What the identity provider may be told.
pub(super) struct BackchannelErrors;

/// What a machine may be told.
pub(super) struct ClientSessionErrors;

impl IntoResponses for InitiateErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = bearer();
        all.extend(body("InitiateSessionRequest", "Host", "Content-Type must be application/json"));
        let hint = "no application is served under this host: send the name in the portal's address, without scheme, \
                    port and path";
        all.extend([
            Told(Failure::Invalid, "Unknown host", Some(json!({ "host": "www.example.com", "message": hint }))),
            Told(Failure::Unauthorized, "Session was logged out", None),
            Told(Failure::Unauthorized, "Session was ended", None),
            Told(Failure::Forbidden, "Access token names neither a merchant nor a reseller", None),
            Told(
                Failure::Forbidden,
                "User is not a member of the merchant or reseller that the access token names",
                None,
            ),
            Told(Failure::Forbidden, "Access token names no role for the merchant or reseller", None),
        ]);
        describe(all)
    }
}

impl IntoResponses for EndErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(bearer())
    }
}

impl IntoResponses for BackchannelErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = ours();
        let form = "Content-Type must be application/x-www-form-urlencoded";
        all.extend(body("BackchannelLogoutRequest", "LogoutToken", form));
        all.push(Told(Failure::Invalid, "Logout token is invalid", None));
        describe(all)
    }
}

impl IntoResponses for ClientSessionErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = ours();
        all.extend(body("ClientSessionRequest", "ClientSecret", "Content-Type must be application/json"));
        all.push(Told(Failure::Unauthorized, "Client credentials are invalid", None));
        all.push(Told(Failure::Forbidden, "Access token claim merchant_id must be one UUID", None));
        all.push(Told(Failure::TooManyAttempts, "Too many failed attempts, try again later", None));
        describe(all)
    }
}

fn bearer() -> Vec<Told> {
    let mut all = ours();
    all.push(Told(Failure::Unauthorized, "Authorization header with a Bearer token is required", None));
    all.push(Told(Failure::Unauthorized, "Access token is invalid or expired", None));
    all.push(Told(Failure::Forbidden, "Access token claim merchant_id must be one UUID", None));
    all.push(Told(Failure::TooManyAttempts, TOO_MANY_REQUESTS, None));
    all
}

fn body(type_name: &str, field: &str, media: &'static str) -> [Told; 5] {
    let required =
        format!("Key: '{type_name}.{field}' Error:Field validation for '{field}' failed on the 'required' tag");
    [
        Told(Failure::Invalid, "Invalid request body", Some(json!({ "message": required }))),
        Told(Failure::Invalid, BODY_NOT_RECEIVED, None),
        Told(Failure::TooLarge, "Request body is too large", None),
        Told(Failure::UnsupportedMediaType, media, None),
        Told(Failure::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}
