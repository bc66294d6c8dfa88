//! `POST /pos/bootstrap`: first request of a terminal.

use crate::api::shared::whole_seconds;
use actix_web::web::{Data, Json};
use pos_application::pairing::BootstrapError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::errors::api_error::ApiError;
use crate::extract::Terminal;
use crate::openapi::responses::{TerminalErrors, TerminalParams};
use crate::state::Api;

/// Server information for a terminal.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "server_time": "2025-12-13T14:25:30Z", "min_supported_version": "1.3.5"}))]
pub(crate) struct BootstrapResponse {
    /// Always `ok`.
    #[schema(value_type = String, pattern = "^ok$")]
    status: &'static str,
    /// Server time, RFC 3339, UTC, whole seconds.
    #[schema(format = DateTime)]
    server_time: String,
    /// Oldest supported app version. An older app gets the same response: the terminal decides what to do.
    min_supported_version: String,
}

/// Bootstraps a terminal
///
/// Checks that the device is provisioned. Returns the server time and the oldest supported app version.
#[utoipa::path(
    post,
    path = "/pos/bootstrap",
    tag = "POS activation",
    params(TerminalParams),
    responses((status = 200, description = "The device is provisioned", body = BootstrapResponse), TerminalErrors)
)]
pub(crate) async fn bootstrap(api: Data<Api>, terminal: Terminal) -> Result<Json<BootstrapResponse>, ApiError> {
    let bootstrapped = api.use_cases.pairing.bootstrap.execute(&terminal.0).await.map_err(|error| match error {
        BootstrapError::UnknownDevice => ApiError::unknown_device(&terminal.0.device_id),
        BootstrapError::Storage(error) => error.into(),
    })?;
    Ok(Json(BootstrapResponse {
        status: "ok",
        server_time: whole_seconds(bootstrapped.server_time)?,
        min_supported_version: bootstrapped.min_supported_version.to_string(),
    }))
}
