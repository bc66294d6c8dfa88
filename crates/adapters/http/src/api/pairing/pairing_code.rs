//! `POST /pos/pairing-code`: issues a pairing code.

use actix_web::web::{Data, Json};
use pos_application::pairing::IssuePairingCodeError;
use pos_domain::device::IssueRefusal;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::errors::api_error::ApiError;
use crate::errors::table::{ALREADY_CLAIMED, NO_CODE};
use crate::extract::CodeRequest;
use crate::openapi::responses::{PairingCodeErrors, TerminalParams};
use crate::state::Api;

/// A pairing code for the terminal to display.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"pairing_code": "K7M3NP", "expires_in_sec": 300}))]
pub(crate) struct PairingCodeResponse {
    /// Six symbols of `A-Z` and `2-9`, without `O` and `I`.
    #[schema(pattern = "^[A-HJ-NP-Z2-9]{6}$")]
    pairing_code: String,
    /// Seconds until the code expires.
    #[schema(minimum = 1)]
    expires_in_sec: i64,
}

/// Issues a pairing code
///
/// Every request returns a new code with the full lifetime. The device's previous code is invalidated.
#[utoipa::path(
    post,
    path = "/pos/pairing-code",
    tag = "POS activation",
    params(TerminalParams),
    responses(
        (status = 200, description = "A new code", body = PairingCodeResponse),
        PairingCodeErrors,
    )
)]
pub(crate) async fn pairing_code(api: Data<Api>, terminal: CodeRequest) -> Result<Json<PairingCodeResponse>, ApiError> {
    let call = terminal.0;
    let issued = api.use_cases.pairing.issue_pairing_code.execute(&call).await.map_err(|error| match error {
        IssuePairingCodeError::UnknownDevice => ApiError::unknown_device(&call.device_id),
        IssuePairingCodeError::Refused(IssueRefusal::Decommissioned) => ApiError::unknown_device(&call.device_id),
        IssuePairingCodeError::Refused(IssueRefusal::AlreadyClaimed) => {
            ALREADY_CLAIMED.with(json!({ "device_id": call.device_id.as_str() }))
        }
        IssuePairingCodeError::Exhausted => ApiError::from(NO_CODE).caused_by(error),
        IssuePairingCodeError::Storage(error) => error.into(),
    })?;
    api.metrics.code_issued();
    Ok(Json(PairingCodeResponse {
        pairing_code: issued.code.as_str().to_owned(),
        expires_in_sec: issued.ttl.whole_seconds(),
    }))
}
