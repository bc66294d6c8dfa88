use std::time::Duration;

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::described::NotReady;

/// How long the store may take to answer before the server calls itself not ready.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiveResponse {
    /// Always `ok`.
    #[schema(value_type = String, pattern = "^ok$")]
    status: &'static str,
}

/// Whether the server can do its work.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyResponse {
    /// Always `ready`.
    #[schema(value_type = String, pattern = "^ready$")]
    status: &'static str,
    /// Always `ok`: without storage the server is not ready.
    #[schema(value_type = String, pattern = "^ok$")]
    storage: &'static str,
    /// `ok`, or `unavailable` while no signing keys are held. Terminals do not need them; only claims wait for them.
    #[schema(value_type = String, pattern = "^(ok|unavailable)$")]
    identity: &'static str,
}

/// Whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "Operations",
    responses((status = 200, description = "It does", body = LiveResponse)))]
pub(crate) async fn live() -> Json<LiveResponse> {
    Json(LiveResponse { status: "ok" })
}

/// Whether requests should be sent here
///
/// Not ready while the store does not answer, and from the moment a stop begins.
#[utoipa::path(get, path = "/health/ready", tag = "Operations",
    responses((status = 200, description = "Ready", body = ReadyResponse), NotReady))]
pub(crate) async fn ready(api: Data<Api>) -> Result<Json<ReadyResponse>, ApiError> {
    if api.drain.has_started() {
        return Err(ApiError::unavailable());
    }
    tokio::time::timeout(PING_TIMEOUT, api.storage.ping())
        .await
        .map_err(|_| ApiError::unavailable().caused_by("the store did not answer in time"))??;
    let identity = if api.verifier.is_ready() { "ok" } else { "unavailable" };
    Ok(Json(ReadyResponse { status: "ready", storage: "ok", identity }))
}
