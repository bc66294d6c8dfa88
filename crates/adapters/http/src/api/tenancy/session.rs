//! Session routes: initiate, end and back-channel logout.

use actix_web::web::{Data, Json};
use pos_application::tenancy::{InitiateSessionError, InitiatedSession, LogOutError};
use pos_port_identity::VerifyError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::api::shared::whole_seconds;
use crate::errors::api_error::ApiError;
use crate::errors::sessions::{BackchannelErrors, EndErrors, InitiateErrors};
use crate::errors::table::{
    LOGGED_OUT, LOGOUT_TOKEN_INVALID, NO_PARTY, NO_ROLE, NOT_A_MEMBER, SESSION_ENDED, unknown_host,
};
use crate::extract::{AuthThenBody, Authenticated, Context, RequestBody, ValidForm, ValidJson};
use crate::state::Api;

/// Host of the portal.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"host": "merchant.viopay.io"}))]
pub(crate) struct InitiateSessionRequest {
    /// Host name of the portal's URL, without scheme, port and path. Letter case is ignored.
    #[serde(default)]
    #[validate(required, custom(function = "valid_host"))]
    #[schema(required = true, nullable = false, value_type = String, min_length = 1, max_length = 253)]
    host: Option<String>,
}

impl RequestBody for InitiateSessionRequest {
    const NAME: &'static str = "InitiateSessionRequest";
}

fn valid_host(host: &str) -> Result<(), ValidationError> {
    match host.trim().len() {
        0 => Err(ValidationError::new("required")),
        1..=253 => Ok(()),
        _ => Err(ValidationError::new("max")),
    }
}

/// An initiated session.
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
    /// User of the session: the subject of the token.
    user_id: String,
    /// API client of the session; absent for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// Merchant of the session; absent for a reseller's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    merchant: Option<PartyResponse>,
    /// Reseller of the session, or the merchant's reseller; absent for a merchant without a reseller.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reseller: Option<PartyResponse>,
    /// `viewer`, `operator` or `admin`: the lower of the token's role and the membership's role.
    #[schema(value_type = String, pattern = "^(viewer|operator|admin)$")]
    role: &'static str,
    /// Application the user signed in to.
    application: String,
    /// Channel used to sign in.
    channel: String,
    /// Expiry of the session, RFC 3339, UTC, whole seconds. Each access token must also be valid.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A merchant or a reseller.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartyResponse {
    /// UUID of the merchant or reseller.
    #[schema(format = Uuid)]
    id: String,
    /// Display name.
    name: String,
}

impl SessionResponse {
    pub(crate) fn of(initiated: InitiatedSession) -> Result<Self, ApiError> {
        let InitiatedSession { session, merchant, reseller } = initiated;
        Ok(Self {
            status: "initiated",
            user_id: session.member.user_id.to_string(),
            client_id: session.client.map(|client| client.to_string()),
            merchant: merchant.map(|one| PartyResponse { id: one.id.to_string(), name: one.name.to_string() }),
            reseller: reseller.map(|one| PartyResponse { id: one.id.to_string(), name: one.name.to_string() }),
            role: session.member.role.as_str(),
            application: session.client_app.application.to_string(),
            channel: session.client_app.channel.to_string(),
            expires_at: whole_seconds(session.ends_at)?,
        })
    }
}

/// Initiates the token's session
///
/// Required once after sign-in, before any request that acts for a merchant or reseller. A repetition renews the session.
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
    request: AuthThenBody<ValidJson<InitiateSessionRequest>, Authenticated>,
) -> Result<Json<SessionResponse>, ApiError> {
    let (Authenticated(principal), ValidJson(body)) = (request.auth, request.body);
    let host = body.host.unwrap_or_default();
    let initiated = api.use_cases.sessions.initiate.execute(&principal, &host, context.0).await;
    Ok(Json(SessionResponse::of(initiated.map_err(|error| to_api_error(error, &host))?)?))
}

fn to_api_error(error: InitiateSessionError, host: &str) -> ApiError {
    match error {
        InitiateSessionError::UnknownHost => unknown_host(host),
        InitiateSessionError::NoParty => NO_PARTY.into(),
        InitiateSessionError::NotAMember => NOT_A_MEMBER.into(),
        InitiateSessionError::NoRole => NO_ROLE.into(),
        InitiateSessionError::LoggedOut => LOGGED_OUT.into(),
        InitiateSessionError::Ended => SESSION_ENDED.into(),
        InitiateSessionError::Storage(error) => error.into(),
    }
}

/// The session has ended.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ended"}))]
pub(crate) struct EndResponse {
    /// Always `ended`, even if there was no session.
    #[schema(value_type = String, pattern = "^ended$")]
    status: &'static str,
}

/// Ends the token's session
///
/// The session ends on every server from the next request on. Neither this token nor an earlier token of the same sign-in
/// can initiate another session; a later token can. The identity provider's session continues: end it at the provider.
#[utoipa::path(
    post,
    path = "/session/end",
    tag = "Sessions",
    security(("bearer" = [])),
    responses((status = 200, description = "The session has ended", body = EndResponse), EndErrors)
)]
pub(crate) async fn end(api: Data<Api>, context: Context, auth: Authenticated) -> Result<Json<EndResponse>, ApiError> {
    api.use_cases.sessions.close.end(&auth.0, context.0).await?;
    Ok(Json(EndResponse { status: "ended" }))
}

/// Logout notice of the identity provider.
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

/// The sessions have ended.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "logged_out"}))]
pub(crate) struct BackchannelLogoutResponse {
    /// Always `logged_out`.
    #[schema(value_type = String, pattern = "^logged_out$")]
    status: &'static str,
}

/// Ends sessions on behalf of the identity provider
///
/// OpenID Connect Back-Channel Logout 1.0. A logout token with a session id (`sid`) ends that session; one without ends all
/// sessions of the user.
#[utoipa::path(
    post,
    path = "/session/backchannel-logout",
    tag = "Sessions",
    request_body(content = BackchannelLogoutRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Sessions ended", body = BackchannelLogoutResponse), BackchannelErrors)
)]
pub(crate) async fn backchannel_logout(
    api: Data<Api>,
    context: Context,
    form: ValidForm<BackchannelLogoutRequest>,
) -> Result<Json<BackchannelLogoutResponse>, ApiError> {
    let token = form.0.logout_token.unwrap_or_default();
    api.use_cases.sessions.close.log_out(&token, context.0).await.map_err(|error| match error {
        LogOutError::Token(rejected @ (VerifyError::Rejected(_) | VerifyError::Claim { .. })) => {
            tracing::info!(reason = %rejected, "logout token rejected");
            LOGOUT_TOKEN_INVALID.into()
        }
        LogOutError::Token(VerifyError::Unavailable) => ApiError::unavailable().caused_by(error),
        LogOutError::Storage(error) => error.into(),
    })?;
    Ok(Json(BackchannelLogoutResponse { status: "logged_out" }))
}
