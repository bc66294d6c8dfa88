use actix_web::HttpResponse;
use actix_web::web::Data;
use pos_application::{ClaimAttempt, ClaimDeviceError, Created, NoAnswer};
use pos_domain::{DeviceId, PairingCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use validator::{Validate, ValidationError};

use super::super::Api;
use super::super::api_error::{ApiError, Failure};
use super::super::described::ClaimErrors;
use super::super::extract::{Authorized, Context, Creating, RequestBody, validated};

/// The code a merchant read off a terminal.
#[derive(Deserialize, Validate, ToSchema)]
#[schema(example = json!({"pairing_code": "K7M3NP"}))]
pub(crate) struct ClaimDeviceRequest {
    /// Six symbols; white space, hyphens and letter case do not matter: `K7M-3NP` and `k7m 3np` are `K7M3NP`.
    #[serde(default)]
    #[validate(required, custom(function = "six_symbols"))]
    #[schema(
        required = true,
        nullable = false,
        value_type = String,
        pattern = r"^[\s\-‐‑]*(?:[A-HJ-NP-Za-hj-np-z2-9][\s\-‐‑]*){6}$"
    )]
    pairing_code: Option<String>,
    /// The device the code is expected to belong to. If it belongs to another, it counts as not found.
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

/// The device that was claimed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "claimed", "device_id": "POS-8F3A2C91"}))]
pub(crate) struct ClaimDeviceResponse {
    /// Always `claimed`.
    #[schema(value_type = String, pattern = "^claimed$")]
    status: &'static str,
    /// Which device it was.
    device_id: String,
}

/// Claims a device by its pairing code
///
/// Called from the merchant's portal. Of any number of simultaneous claims of one code exactly one succeeds. Send an
/// `Idempotency-Key`, and a claim whose answer was lost can be sent again: it is answered as it was the first time.
#[utoipa::path(
    post,
    path = "/pos/claim",
    tag = "Merchant",
    security(("bearer" = [])),
    params(ClaimIdempotencyParams),
    request_body = ClaimDeviceRequest,
    responses((status = 200, description = "The device is yours", body = ClaimDeviceResponse), ClaimErrors)
)]
pub(crate) async fn claim(
    api: Data<Api>,
    context: Context,
    request: Authorized<Creating<ClaimDeviceRequest>>,
) -> Result<HttpResponse, ApiError> {
    let Creating { body, name } = request.sent;
    let body = validated(body)?;
    let attempt = ClaimAttempt {
        typed_code: body.pairing_code.unwrap_or_default(),
        device_id: body.device_id,
        context: context.0,
    };
    let call = name.map(|name| api.fleet.answers.keyed(name.key, name.fingerprint, answer));
    let claimed = api.claim_device.execute_once(&request.caller.0, &attempt, call).await;
    api.metrics.claim(outcome(&claimed));
    let mut response = HttpResponse::Ok();
    let text = match claimed.map_err(|error| told(error, &attempt.typed_code))? {
        Created::Now(device_id) => answer(&device_id).map_err(ApiError::internal)?,
        Created::Before(text) => {
            response.insert_header(("Idempotency-Replayed", "true"));
            text
        }
    };
    Ok(response.content_type("application/json").body(text))
}

/// The claim of a device in the words that its caller is told, and told again.
fn answer(device_id: &DeviceId) -> Result<String, NoAnswer> {
    Ok(serde_json::to_string(&ClaimDeviceResponse { status: "claimed", device_id: device_id.to_string() })?)
}

/// The caller's name for a claim.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that the Creating extractor reads")]
pub(crate) struct ClaimIdempotencyParams {
    /// A name of the user's own for this claim. The same user's same claim with the same key is answered as it was the
    /// first time, with `Idempotency-Replayed: true`, for a day or as the server is set; it changes nothing and counts as
    /// no failed attempt.
    #[param(rename = "Idempotency-Key", value_type = Option<String>, pattern = "^[!-~]{1,255}$", max_length = 255)]
    idempotency_key: Option<String>,
}

/// The word that `/metrics` counts it under.
fn outcome(claimed: &Result<Created<DeviceId>, ClaimDeviceError>) -> &'static str {
    match claimed {
        Ok(Created::Now(_)) => "claimed",
        Ok(Created::Before(_)) => "replayed",
        Err(ClaimDeviceError::KeyReused) => "key_reused",
        Err(ClaimDeviceError::CodeNotFound) => "not_found",
        Err(ClaimDeviceError::CodeUsed) => "used",
        Err(ClaimDeviceError::CodeExpired) => "expired",
        Err(ClaimDeviceError::NotOwner { .. }) => "not_owner",
        Err(ClaimDeviceError::TooManyFailures(_)) => "too_many_failures",
        Err(ClaimDeviceError::Contended | ClaimDeviceError::Answer(_) | ClaimDeviceError::Storage(_)) => "error",
    }
}

fn told(error: ClaimDeviceError, sent: &str) -> ApiError {
    let about_code =
        |failure, message: String| ApiError::new(failure, message).details(json!({ "pairing_code": sent }));
    match error {
        ClaimDeviceError::CodeNotFound => about_code(Failure::CodeNotFound, error.to_string()),
        ClaimDeviceError::CodeUsed | ClaimDeviceError::CodeExpired => {
            about_code(Failure::StateForbids, error.to_string())
        }
        ClaimDeviceError::NotOwner { ref device_id } => {
            ApiError::new(Failure::Forbidden, error.to_string()).details(json!({ "device_id": device_id.as_str() }))
        }
        ClaimDeviceError::TooManyFailures(refused) => {
            ApiError::new(Failure::TooManyAttempts, "Too many failed claims, try again later")
                .retry_after(refused.retry_after.unsigned_abs())
        }
        ClaimDeviceError::KeyReused => ApiError::new(Failure::StateForbids, error.to_string()),
        ClaimDeviceError::Contended => ApiError::unavailable().caused_by(error),
        ClaimDeviceError::Answer(_) => ApiError::internal(error),
        ClaimDeviceError::Storage(error) => error.into(),
    }
}
