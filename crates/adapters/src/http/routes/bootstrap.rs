use actix_web::web::{Data, Json};
use pos_application::BootstrapError;
use serde::Serialize;
use time::OffsetDateTime;
use time::error::Format;
use time::macros::format_description;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::described::{TerminalErrors, TerminalParams};
use super::super::extract::Terminal;

/// First contact.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "server_time": "2025-12-13T14:25:30Z", "min_supported_version": "1.3.5"}))]
pub(crate) struct BootstrapResponse {
    /// Always `ok`.
    #[schema(value_type = String, pattern = "^ok$")]
    status: &'static str,
    /// The server's time, RFC 3339, UTC, whole seconds.
    #[schema(format = DateTime)]
    server_time: String,
    /// The oldest app version that is supported. A too old app is answered all the same: the terminal decides.
    min_supported_version: String,
}

/// Says hello to the server
///
/// Checks that the server can be reached and knows the device; tells the server's time and the oldest supported app.
#[utoipa::path(
    post,
    path = "/pos/bootstrap",
    tag = "POS activation",
    params(TerminalParams),
    responses((status = 200, description = "The device is known", body = BootstrapResponse), TerminalErrors)
)]
pub(crate) async fn bootstrap(api: Data<Api>, terminal: Terminal) -> Result<Json<BootstrapResponse>, ApiError> {
    let answer = api.bootstrap.execute(&terminal.0).await.map_err(|error| match error {
        BootstrapError::UnknownDevice => ApiError::unknown_device(&terminal.0.device_id),
        BootstrapError::Storage(error) => error.into(),
    })?;
    Ok(Json(BootstrapResponse {
        status: "ok",
        server_time: whole_seconds(answer.server_time)?,
        min_supported_version: answer.min_supported_version.to_string(),
    }))
}

/// RFC 3339, UTC, whole seconds (contract, section 1).
pub(super) fn whole_seconds(at: OffsetDateTime) -> Result<String, Format> {
    at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
}
