//! OpenAPI error responses of the session routes.

use std::collections::BTreeMap;

use pos_port_identity::VerifyError;
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use crate::errors::api_error::ApiError;
use crate::errors::table::{
    BODY_NOT_RECEIVED, BODY_TOO_LARGE, CLIENT_REJECTED, ErrorRow, INVALID_BODY, LOGGED_OUT, LOGOUT_TOKEN_INVALID,
    NO_PARTY, NO_ROLE, NOT_A_FORM, NOT_A_MEMBER, NOT_JSON, SESSION_ENDED, TOKEN_INVALID, TOKEN_MISSING,
    TOO_MANY_ATTEMPTS, TOO_MANY_BODIES, TOO_MANY_REQUESTS, unknown_host, unusable_claim,
};
use crate::openapi::responses::{describe, server_errors};

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
        all.extend(body_errors("InitiateSessionRequest", "Host", NOT_JSON));
        all.push(unknown_host("www.example.com"));
        all.extend([LOGGED_OUT, SESSION_ENDED, NO_PARTY, NOT_A_MEMBER, NO_ROLE].map(ApiError::from));
        describe(&all)
    }
}

impl IntoResponses for EndErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        describe(&bearer_errors())
    }
}

impl IntoResponses for BackchannelErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = server_errors();
        all.extend(body_errors("BackchannelLogoutRequest", "LogoutToken", NOT_A_FORM));
        all.push(LOGOUT_TOKEN_INVALID.into());
        describe(&all)
    }
}

impl IntoResponses for ClientSessionErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = server_errors();
        all.extend(body_errors("ClientSessionRequest", "ClientSecret", NOT_JSON));
        all.extend([CLIENT_REJECTED.into(), merchant_claim(), TOO_MANY_ATTEMPTS.into()]);
        describe(&all)
    }
}

/// Errors of a request with a bearer token.
fn bearer_errors() -> Vec<ApiError> {
    let mut all = server_errors();
    all.extend([TOKEN_MISSING.into(), TOKEN_INVALID.into(), merchant_claim(), TOO_MANY_REQUESTS.into()]);
    all
}

/// The error of a token whose claim of the merchant is unusable.
pub(crate) fn merchant_claim() -> ApiError {
    unusable_claim(&VerifyError::Claim { claim: "merchant_id".to_owned(), wanted: "one UUID" })
}

fn body_errors(type_name: &str, field: &str, media: ErrorRow) -> [ApiError; 5] {
    let required =
        format!("Key: '{type_name}.{field}' Error:Field validation for '{field}' failed on the 'required' tag");
    [
        INVALID_BODY.because(&required),
        BODY_NOT_RECEIVED.into(),
        BODY_TOO_LARGE.into(),
        media.into(),
        TOO_MANY_BODIES.into(),
    ]
}
