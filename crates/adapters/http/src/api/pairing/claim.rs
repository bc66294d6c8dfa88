//! `POST /pos/claim`: claims a device by its pairing code.

use actix_web::HttpResponse;
use actix_web::web::Data;
use pos_application::pairing::{ClaimAttempt, ClaimDeviceError};
use pos_application::support::{EncodedResponse, SerializeError};
use pos_domain::device::PairingCode;
use pos_domain::shared::DeviceId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use validator::{Validate, ValidationError};

use crate::api::shared::{encoded, encoder};
use crate::errors::api_error::ApiError;
use crate::errors::table::{CODE_EXPIRED, CODE_NOT_FOUND, CODE_USED, KEY_REUSED, NOT_OWNER, TOO_MANY_CLAIMS};
use crate::extract::{AuthThenBody, Context, IdempotentJson, RequestBody, validated};
use crate::openapi::responses::ClaimErrors;
use crate::state::Api;

/// The pairing code that a terminal displays.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"pairing_code": "K7M3NP"}))]
pub(crate) struct ClaimDeviceRequest {
    /// Six symbols. White space, hyphens and letter case are ignored: `K7M-3NP` and `k7m 3np` are `K7M3NP`.
    #[serde(default)]
    #[validate(required, custom(function = "six_symbols"))]
    #[schema(
        required = true,
        nullable = false,
        value_type = String,
        pattern = r"^[\s\-‐‑]*(?:[A-HJ-NP-Za-hj-np-z2-9][\s\-‐‑]*){6}$"
    )]
    pairing_code: Option<String>,
    /// Expected device of the code. A code of another device is answered as not found.
    #[serde(default)]
    #[schema(example = "POS-8F3A2C91")]
    device_id: Option<String>,
}

impl RequestBody for ClaimDeviceRequest {
    const NAME: &'static str = "ClaimDeviceRequest";
}

fn six_symbols(typed: &str) -> Result<(), ValidationError> {
    match PairingCode::typed_symbols(typed).count() {
        PairingCode::LEN => Ok(()),
        0 => Err(ValidationError::new("required")),
        _ => Err(ValidationError::new("len")),
    }
}

/// The claimed device.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "claimed", "device_id": "POS-8F3A2C91"}))]
pub(crate) struct ClaimDeviceResponse {
    /// Always `claimed`.
    #[schema(value_type = String, pattern = "^claimed$")]
    status: &'static str,
    /// Id of the device.
    device_id: String,
}

/// Claims a device by its pairing code
///
/// Called by the merchant's portal. Of any number of simultaneous claims of one code exactly one succeeds. A claim with an
/// `Idempotency-Key` can be retried after a lost response: the first response is replayed.
#[utoipa::path(
    post,
    path = "/pos/claim",
    tag = "Merchant",
    security(("bearer" = [])),
    params(ClaimIdempotencyParams),
    request_body = ClaimDeviceRequest,
    responses((status = 200, description = "The device is claimed", body = ClaimDeviceResponse), ClaimErrors)
)]
pub(crate) async fn claim(
    api: Data<Api>,
    context: Context,
    request: AuthThenBody<IdempotentJson<ClaimDeviceRequest>>,
) -> Result<HttpResponse, ApiError> {
    let IdempotentJson { body, idempotency } = request.body;
    let body = validated(body)?;
    let typed_code = body.pairing_code.unwrap_or_default();
    let code = PairingCode::from_typed(&typed_code).ok();
    let attempt = ClaimAttempt { code, device_id: body.device_id, context: context.0 };
    let encoder = encoder(&api, idempotency, to_json);
    let claimed = api.use_cases.pairing.claim_device.execute_encoded(&request.auth.0, &attempt, encoder).await;
    api.metrics.claim(outcome(&claimed));
    Ok(encoded(HttpResponse::Ok(), claimed.map_err(|error| to_api_error(error, &typed_code))?))
}

/// Serializes the response, which is sent, and stored for replay.
fn to_json(device_id: &DeviceId) -> Result<String, SerializeError> {
    Ok(serde_json::to_string(&ClaimDeviceResponse { status: "claimed", device_id: device_id.to_string() })?)
}

/// Idempotency header of a claim.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that the IdempotentJson extractor reads")]
pub(crate) struct ClaimIdempotencyParams {
    /// Idempotency key, unique to this claim and user. The same claim of the same user with the same key gets the first
    /// response again, with `Idempotency-Replayed: true`, for one day or the configured time. It changes nothing and does
    /// not count as a failed attempt.
    #[param(rename = "Idempotency-Key", value_type = Option<String>, pattern = "^[!-~]{1,255}$", max_length = 255)]
    idempotency_key: Option<String>,
}

/// Returns the label of the outcome in `/metrics`.
fn outcome(claimed: &Result<EncodedResponse, ClaimDeviceError>) -> &'static str {
    match claimed {
        Ok(EncodedResponse::New(_)) => "claimed",
        Ok(EncodedResponse::Replayed(_)) => "replayed",
        Err(ClaimDeviceError::KeyReused) => "key_reused",
        Err(ClaimDeviceError::CodeNotFound) => "not_found",
        Err(ClaimDeviceError::CodeUsed) => "used",
        Err(ClaimDeviceError::CodeExpired) => "expired",
        Err(ClaimDeviceError::NotOwner { .. }) => "not_owner",
        Err(ClaimDeviceError::TooManyFailures(_)) => "too_many_failures",
        Err(ClaimDeviceError::Contended | ClaimDeviceError::Answer(_) | ClaimDeviceError::Storage(_)) => "error",
    }
}

fn to_api_error(error: ClaimDeviceError, body: &str) -> ApiError {
    let typed = || json!({ "pairing_code": body });
    match error {
        ClaimDeviceError::CodeNotFound => CODE_NOT_FOUND.with(typed()),
        ClaimDeviceError::CodeUsed => CODE_USED.with(typed()),
        ClaimDeviceError::CodeExpired => CODE_EXPIRED.with(typed()),
        ClaimDeviceError::NotOwner { device_id } => NOT_OWNER.with(json!({ "device_id": device_id.as_str() })),
        ClaimDeviceError::TooManyFailures(refused) => {
            ApiError::from(TOO_MANY_CLAIMS).retry_after(refused.retry_after.unsigned_abs())
        }
        ClaimDeviceError::KeyReused => KEY_REUSED.into(),
        ClaimDeviceError::Contended => ApiError::unavailable().caused_by(error),
        ClaimDeviceError::Answer(_) => ApiError::internal(error),
        ClaimDeviceError::Storage(error) => error.into(),
    }
}
