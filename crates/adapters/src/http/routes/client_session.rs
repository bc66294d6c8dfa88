use actix_web::web::{Data, Json};
use pos_application::StartClientSessionError;
use pos_port_identity::ClientTokenError;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::super::Api;
use super::super::api_error::{ApiError, Failure};
use super::super::extract::{Context, RequestBody, ValidJson};
use super::super::session_failures::ClientSessionErrors;
use super::session::SessionResponse;

/// A machine's credentials.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"client_id": "pos-8f3a2c91d4e5f607", "client_secret": "the secret shown once"}))]
pub(crate) struct ClientSessionRequest {
    /// The API client's id.
    #[serde(default)]
    #[validate(required, custom(function = "bounded"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1, max_length = 255)]
    client_id: Option<String>,
    /// Its secret.
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

/// A machine's token, and the session that was initiated with it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "access_token": "eyJhbGciOiJSUzI1NiIs...", "token_type": "Bearer", "expires_in": 300,
    "status": "initiated", "user_id": "7a4c1d5e-0000-4000-8000-000000000001", "client_id": "pos-8f3a2c91d4e5f607",
    "merchant": {"id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "name": "Corner Shop"},
    "role": "operator", "application": "api", "channel": "api", "expires_at": "2025-12-13T14:30:30Z",
}))]
pub(crate) struct ClientSessionResponse {
    /// For `Authorization: Bearer` in the requests that follow.
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = String, pattern = "^Bearer$")]
    token_type: &'static str,
    /// Seconds until the token ends; then call again.
    #[schema(minimum = 0)]
    expires_in: i64,
    #[serde(flatten)]
    session: SessionResponse,
}

/// Lets a machine in
///
/// Checks the API client's secret, gets its access token from the identity provider, and initiates the session.
#[utoipa::path(
    post,
    path = "/client/session",
    tag = "Sessions",
    request_body = ClientSessionRequest,
    responses((status = 200, description = "The machine is in", body = ClientSessionResponse), ClientSessionErrors)
)]
pub(crate) async fn client_session(
    api: Data<Api>,
    context: Context,
    body: ValidJson<ClientSessionRequest>,
) -> Result<Json<ClientSessionResponse>, ApiError> {
    let ValidJson(ClientSessionRequest { client_id, client_secret }) = body;
    let (id, secret) = (client_id.unwrap_or_default(), SecretString::from(client_secret.unwrap_or_default()));
    let started = api.sessions.client.execute(&id, &secret, context.0).await.map_err(told)?;
    Ok(Json(ClientSessionResponse {
        access_token: started.access_token.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: started.expires_in.whole_seconds(),
        session: SessionResponse::of(started.initiated)?,
    }))
}

/// Lets a machine in, by the earlier name
///
/// The same as `POST /client/session`.
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "Sessions",
    request_body = ClientSessionRequest,
    responses((status = 200, description = "The machine is in", body = ClientSessionResponse), ClientSessionErrors)
)]
pub(crate) async fn auth_token(
    api: Data<Api>,
    context: Context,
    body: ValidJson<ClientSessionRequest>,
) -> Result<Json<ClientSessionResponse>, ApiError> {
    client_session(api, context, body).await
}

fn told(error: StartClientSessionError) -> ApiError {
    match error {
        StartClientSessionError::Refused => ApiError::unauthorized("Client credentials are invalid", "Bearer"),
        StartClientSessionError::TooManyFailures(refused) => {
            ApiError::new(Failure::TooManyAttempts, "Too many failed attempts, try again later")
                .retry_after(refused.retry_after.unsigned_abs())
        }
        StartClientSessionError::Token(claim) => ApiError::new(Failure::Forbidden, claim.to_string()),
        StartClientSessionError::ProviderAway(ref away) => {
            let asked = match away {
                Some(ClientTokenError::Unavailable { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let told = ApiError::unavailable();
            asked.into_iter().fold(told, ApiError::retry_after).caused_by(error)
        }
        StartClientSessionError::Storage(error) => error.into(),
    }
}
