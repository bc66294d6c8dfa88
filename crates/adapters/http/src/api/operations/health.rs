//! Liveness and readiness probes.

use std::time::Duration;

use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::api_error::ApiError;
use crate::openapi::responses::NotReady;
use crate::state::Api;

/// Time limit of the storage ping of a readiness probe.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Result of the liveness probe.
#[derive(Serialize, ToSchema)]
pub(crate) struct LiveResponse {
    /// Always `ok`.
    #[schema(value_type = String, pattern = "^ok$")]
    status: &'static str,
}

/// Result of the readiness probe.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadyResponse {
    /// Always `ready`.
    #[schema(value_type = String, pattern = "^ready$")]
    status: &'static str,
    /// Always `ok`: while storage is unavailable, the server is not ready.
    #[schema(value_type = String, pattern = "^ok$")]
    storage: &'static str,
    /// `ok`, or `unavailable` while the server has no signing keys of the identity provider. Only authenticated requests
    /// need them; terminals do not.
    #[schema(value_type = String, pattern = "^(ok|unavailable)$")]
    identity: &'static str,
}

/// Liveness probe
#[utoipa::path(get, path = "/health/live", tag = "Operations",
    responses((status = 200, description = "The process is running", body = LiveResponse)))]
pub(crate) async fn live() -> Json<LiveResponse> {
    Json(LiveResponse { status: "ok" })
}

/// Readiness probe
///
/// Not ready while storage is unavailable, and from the start of a shutdown.
#[utoipa::path(get, path = "/health/ready", tag = "Operations",
    responses((status = 200, description = "The server is ready", body = ReadyResponse), NotReady))]
pub(crate) async fn ready(api: Data<Api>) -> Result<Json<ReadyResponse>, ApiError> {
    if api.drain.has_started() {
        return Err(ApiError::unavailable());
    }
    tokio::time::timeout(PING_TIMEOUT, api.storage.ping())
        .await
        .map_err(|_| ApiError::unavailable().caused_by("the storage ping timed out"))??;
    let identity = if api.verifier.is_ready() { "ok" } else { "unavailable" };
    Ok(Json(ReadyResponse { status: "ready", storage: "ok", identity }))
}
