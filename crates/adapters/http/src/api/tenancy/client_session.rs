//! `POST /client/session` and its alias `POST /auth/token`: session of an API client.

use actix_web::web::{Data, Json};
use pos_application::tenancy::StartClientSessionError;
use pos_port_identity::ClientTokenError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::api::tenancy::session::SessionResponse;
use crate::errors::api_error::ApiError;
use crate::errors::sessions::ClientSessionErrors;
use crate::errors::table::{CLIENT_REJECTED, TOO_MANY_ATTEMPTS, unusable_claim};
use crate::extract::{Context, RequestBody, ValidJson};
use crate::state::Api;

/// Credentials of an API client.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"client_id": "pos-8f3a2c91d4e5f607", "client_secret": "the secret shown once"}))]
pub(crate) struct ClientSessionRequest {
    /// Id of the API client.
    #[serde(default)]
    #[validate(required, custom(function = "bounded"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1, max_length = 255)]
    client_id: Option<String>,
    /// Secret of the API client.
    #[serde(default)]
    #[validate(required, custom(function = "bounded"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1, max_length = 255)]
    client_secret: Option<String>,
}

impl RequestBody for ClientSessionRequest {
    const NAME: &'static str = "ClientSessionRequest";
}

fn bounded(text: &str) -> Result<(), ValidationError> {
    match text.chars().count() {
        0 => Err(ValidationError::new("required")),
        1..=255 => Ok(()),
        _ => Err(ValidationError::new("max")),
    }
}

/// Access token of an API client and the session initiated with it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "access_token": "eyJhbGciOiJSUzI1NiIs...", "token_type": "Bearer", "expires_in": 300,
    "status": "initiated", "user_id": "7a4c1d5e-0000-4000-8000-000000000001", "client_id": "pos-8f3a2c91d4e5f607",
    "merchant": {"id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "name": "Corner Shop"},
    "role": "operator", "application": "api", "channel": "api", "expires_at": "2025-12-13T14:30:30Z",
}))]
pub(crate) struct ClientSessionResponse {
    /// Access token for the `Authorization: Bearer` header of further requests.
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = String, pattern = "^Bearer$")]
    token_type: &'static str,
    /// Seconds until the token expires. Request a new one then.
    #[schema(minimum = 0)]
    expires_in: i64,
    #[serde(flatten)]
    session: SessionResponse,
}

/// Starts a session of an API client
///
/// Verifies the client's secret, requests an access token from the identity provider and initiates the session.
#[utoipa::path(
    post,
    path = "/client/session",
    tag = "Sessions",
    request_body = ClientSessionRequest,
    responses((status = 200, description = "The new session", body = ClientSessionResponse), ClientSessionErrors)
)]
pub(crate) async fn client_session(
    api: Data<Api>,
    context: Context,
    body: ValidJson<ClientSessionRequest>,
) -> Result<Json<ClientSessionResponse>, ApiError> {
    let ValidJson(ClientSessionRequest { client_id, client_secret }) = body;
    let (id, secret) = (client_id.unwrap_or_default(), SecretString::from(client_secret.unwrap_or_default()));
    let started = api.use_cases.sessions.client.execute(&id, &secret, context.0).await.map_err(to_api_error)?;
    Ok(Json(ClientSessionResponse {
        access_token: started.access_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: started.expires_in.whole_seconds(),
        session: SessionResponse::of(started.initiated)?,
    }))
}

/// Starts a session of an API client (legacy alias)
///
/// The same as `POST /client/session`.
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "Sessions",
    request_body = ClientSessionRequest,
    responses((status = 200, description = "The new session", body = ClientSessionResponse), ClientSessionErrors)
)]
pub(crate) async fn auth_token(
    api: Data<Api>,
    context: Context,
    body: ValidJson<ClientSessionRequest>,
) -> Result<Json<ClientSessionResponse>, ApiError> {
    client_session(api, context, body).await
}

fn to_api_error(error: StartClientSessionError) -> ApiError {
    match error {
        StartClientSessionError::Refused => CLIENT_REJECTED.into(),
        StartClientSessionError::TooManyFailures(refused) => {
            ApiError::from(TOO_MANY_ATTEMPTS).retry_after(refused.retry_after.unsigned_abs())
        }
        StartClientSessionError::Token(claim) => unusable_claim(&claim),
        StartClientSessionError::ProviderAway(ref token_error) => {
            let retry_after = match token_error {
                Some(ClientTokenError::Unavailable { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let unavailable = ApiError::unavailable();
            retry_after.into_iter().fold(unavailable, ApiError::retry_after).caused_by(error)
        }
        StartClientSessionError::Storage(error) => error.into(),
    }
}
