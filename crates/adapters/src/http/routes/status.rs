use actix_web::HttpResponse;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::Data;
use pos_application::CheckStatusError;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::described::{TerminalErrors, TerminalParams};
use super::super::extract::Terminal;
use super::super::pacing;

/// How the device and its latest code stand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"device_status": "claimed", "is_claimed": true, "pairing_code_status": "used"}))]
pub(crate) struct StatusResponse {
    /// `inactive`, `claimed` or `activated`.
    #[schema(value_type = String, pattern = "^(inactive|claimed|activated)$")]
    device_status: &'static str,
    /// True once a merchant has claimed the device.
    is_claimed: bool,
    /// `none`, `pending`, `used` or `expired`.
    #[schema(value_type = String, pattern = "^(none|pending|used|expired)$")]
    pairing_code_status: &'static str,
}

/// Polls whether the device was claimed
///
/// Poll every 3 to 5 seconds while the code is `pending`; stop once `is_claimed`; ask for a new code when it is
/// `expired`.
#[utoipa::path(
    get,
    path = "/pos/status",
    tag = "POS activation",
    params(TerminalParams),
    responses(
        (
            status = 200,
            description = "How it stands",
            body = StatusResponse,
            headers(("Retry-After" = u32, description = "While there is something to wait for: in how many seconds to \
                    ask again. 3 to 5 while the code is pending, longer and longer after it has expired."))
        ),
        TerminalErrors
    )
)]
pub(crate) async fn status(api: Data<Api>, terminal: Terminal) -> Result<HttpResponse, ApiError> {
    let checked = api.check_status.execute(&terminal.0).await.map_err(|error| match error {
        CheckStatusError::UnknownDevice => ApiError::unknown_device(&terminal.0.device_id),
        CheckStatusError::Storage(error) => error.into(),
    })?;
    let mut answer = HttpResponse::Ok();
    if let Some(window) = checked.next_poll {
        answer.insert_header((RETRY_AFTER, pacing::within(window, &*api.entropy)));
    }
    Ok(answer.json(StatusResponse {
        device_status: checked.device_status.as_str(),
        is_claimed: checked.device_status.is_claimed(),
        pairing_code_status: checked.pairing_code_status.as_str(),
    }))
}
