use actix_web::web::{Data, Json};
use pos_application::{InitiateSessionError, InitiatedSession, LogOutError};
use pos_port_identity::VerifyError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::super::Api;
use super::super::api_error::{ApiError, Failure};
use super::super::extract::{Authorized, Caller, Context, RequestBody, ValidForm, ValidJson};
use super::super::session_failures::{BackchannelErrors, EndErrors, InitiateErrors};
use super::bootstrap::whole_seconds;

/// Where the caller comes in.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"host": "merchant.viopay.io"}))]
pub(crate) struct InitiateSessionRequest {
    /// The name in the portal's address, without scheme, port and path. Letter case does not matter.
    #[serde(default)]
    #[validate(required, custom(function = "a_host"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1, max_length = 253)]
    host: Option<String>,
}

impl RequestBody for InitiateSessionRequest {
    const NAME: &'static str = "InitiateSessionRequest";
}

fn a_host(host: &str) -> Result<(), ValidationError> {
    match host.trim().len() {
        0 => Err(ValidationError::new("required")),
        1..=253 => Ok(()),
        _ => Err(ValidationError::new("max")),
    }
}

/// What the caller's session was resolved to.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "initiated", "user_id": "0c7b3f5e-0000-4000-8000-000000000001",
    "merchant": {"id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "name": "Corner Shop"},
    "reseller": {"id": "5a1d7c60-1f0e-4c55-8b1e-9f1f6a1f2b3c", "name": "Northern Terminals"},
    "role": "admin", "application": "merchant-portal", "channel": "web", "expires_at": "2025-12-14T00:25:30Z",
}))]
pub(crate) struct SessionResponse {
    /// Always `initiated`.
    #[schema(value_type = String, pattern = "^initiated$")]
    status: &'static str,
    /// Who acts: the token's subject.
    user_id: String,
    /// The API client that acts; left out for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The merchant that is acted for; left out when it is a reseller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    merchant: Option<PartyResponse>,
    /// The merchant's reseller, or the one that is acted for; left out for a merchant without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reseller: Option<PartyResponse>,
    /// `viewer`, `operator` or `admin`: the lesser of what the token and the membership say.
    #[schema(value_type = String, pattern = "^(viewer|operator|admin)$")]
    role: &'static str,
    /// The application that was come in by.
    application: String,
    /// The channel that was come in over.
    channel: String,
    /// The instant from which on it is over, RFC 3339, UTC, whole seconds. Every token must still be valid itself.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A merchant or a reseller.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartyResponse {
    /// Its UUID.
    #[schema(format = Uuid)]
    id: String,
    /// What people call it.
    name: String,
}

impl SessionResponse {
    pub(super) fn of(initiated: InitiatedSession) -> Result<Self, ApiError> {
        let InitiatedSession { session, merchant, reseller } = initiated;
        Ok(Self {
            status: "initiated",
            user_id: session.member.user_id.to_string(),
            client_id: session.client.map(|client| client.to_string()),
            merchant: merchant.map(|one| PartyResponse { id: one.id.to_string(), name: one.name.to_string() }),
            reseller: reseller.map(|one| PartyResponse { id: one.id.to_string(), name: one.name.to_string() }),
            role: session.member.role.as_str(),
            application: session.place.application.to_string(),
            channel: session.place.channel.to_string(),
            expires_at: whole_seconds(session.ends_at)?,
        })
    }
}

/// Initiates the token's session
///
/// To be called once after a log-in, before any call that is made for a merchant. Calling it again renews the session.
#[utoipa::path(
    post,
    path = "/session/initiate",
    tag = "Sessions",
    security(("bearer" = [])),
    request_body = InitiateSessionRequest,
    responses((status = 200, description = "The session is initiated", body = SessionResponse), InitiateErrors)
)]
pub(crate) async fn initiate(
    api: Data<Api>,
    context: Context,
    request: Authorized<ValidJson<InitiateSessionRequest>, Caller>,
) -> Result<Json<SessionResponse>, ApiError> {
    let (Caller(principal), ValidJson(body)) = (request.caller, request.sent);
    let host = body.host.unwrap_or_default();
    let initiated = api.sessions.initiate.execute(&principal, &host, context.0).await;
    Ok(Json(SessionResponse::of(initiated.map_err(|error| told(error, &host))?)?))
}

const LOGGED_OUT: &str = "Bearer error=\"invalid_token\", error_description=\"Session was logged out\"";

const ENDED: &str = "Bearer error=\"invalid_token\", error_description=\"Session was ended\"";

fn told(error: InitiateSessionError, host: &str) -> ApiError {
    match error {
        InitiateSessionError::UnknownHost => ApiError::invalid("Unknown host").details(json!({
            "host": host,
            "message": "no application is served under this host: send the name in the portal's address, without \
                        scheme, port and path",
        })),
        InitiateSessionError::NoParty | InitiateSessionError::NotAMember | InitiateSessionError::NoRole => {
            ApiError::new(Failure::Forbidden, error.to_string())
        }
        InitiateSessionError::LoggedOut => ApiError::unauthorized("Session was logged out", LOGGED_OUT),
        InitiateSessionError::Ended => ApiError::unauthorized("Session was ended", ENDED),
        InitiateSessionError::Storage(error) => error.into(),
    }
}

/// The session is over.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ended"}))]
pub(crate) struct EndResponse {
    /// Always `ended`, whether there was one or not.
    #[schema(value_type = String, pattern = "^ended$")]
    status: &'static str,
}

/// Ends the token's session
///
/// It is over for every server from the next request on, and neither this token nor an earlier one of the same log-in
/// initiates another; a later one does. The session at the identity provider goes on: end that one at the provider.
#[utoipa::path(
    post,
    path = "/session/end",
    tag = "Sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The session is over", body = EndResponse), EndErrors)
)]
pub(crate) async fn end(api: Data<Api>, context: Context, caller: Caller) -> Result<Json<EndResponse>, ApiError> {
    api.sessions.close.end(&caller.0, context.0).await?;
    Ok(Json(EndResponse { status: "ended" }))
}

/// What the identity provider sends when a session ends there.
#[derive(Deserialize, Validate, ToSchema)]
pub(crate) struct BackchannelLogoutRequest {
    /// A logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
    #[serde(default)]
    #[validate(required, length(min = 1, code = "required"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1)]
    logout_token: Option<String>,
}

impl RequestBody for BackchannelLogoutRequest {
    const NAME: &'static str = "BackchannelLogoutRequest";
}

/// The sessions are over.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "logged_out"}))]
pub(crate) struct BackchannelLogoutResponse {
    /// Always `logged_out`.
    #[schema(value_type = String, pattern = "^logged_out$")]
    status: &'static str,
}

/// Ends what the identity provider says is over
///
/// OpenID Connect Back-Channel Logout 1.0. With a session (`sid`) that one ends, without one all of the user's.
#[utoipa::path(
    post,
    path = "/session/backchannel-logout",
    tag = "Sessions",
    request_body(content = BackchannelLogoutRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Logged out", body = BackchannelLogoutResponse), BackchannelErrors)
)]
pub(crate) async fn backchannel_logout(
    api: Data<Api>,
    context: Context,
    form: ValidForm<BackchannelLogoutRequest>,
) -> Result<Json<BackchannelLogoutResponse>, ApiError> {
    let token = form.0.logout_token.unwrap_or_default();
    api.sessions.close.log_out(&token, context.0).await.map_err(|error| match error {
        LogOutError::Token(rejected @ (VerifyError::Rejected(_) | VerifyError::Claim { .. })) => {
            tracing::info!(reason = %rejected, "logout token rejected");
            ApiError::invalid("Logout token is invalid")
        }
        LogOutError::Token(VerifyError::Unavailable) => ApiError::unavailable().caused_by(error),
        LogOutError::Storage(error) => error.into(),
    })?;
    Ok(Json(BackchannelLogoutResponse { status: "logged_out" }))
}
