//! Errors of the fleet use cases: conversion to [`ApiError`] and OpenAPI error responses.

use std::collections::BTreeMap;

use pos_application::support::FleetError;
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use crate::errors::api_error::{ApiError, ErrorCode};
use crate::limits::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use crate::openapi::responses::{ErrorExample, describe, server_errors};

/// Converts an error. `about` is sent as its details: the resource of the request, as the caller named it.
pub(crate) fn to_api_error(error: FleetError, about: impl Into<Option<Value>>) -> ApiError {
    let detailed = |failure, error: FleetError| ApiError::new(failure, error.to_string()).maybe_details(about.into());
    match error {
        FleetError::UnknownMerchant | FleetError::UnknownDevice | FleetError::UnknownLocation => {
            detailed(ErrorCode::NotFound, error)
        }
        FleetError::Taken | FleetError::Refused(_) => detailed(ErrorCode::StateForbids, error),
        FleetError::InvalidLocation(id) => {
            ApiError::invalid(error.to_string()).details(json!({ "location_id": id.to_string() }))
        }
        FleetError::KeyReused => ApiError::new(ErrorCode::StateForbids, error.to_string()),
        FleetError::Forbidden => ApiError::new(ErrorCode::Forbidden, error.to_string()),
        FleetError::Contended => ApiError::unavailable().caused_by(error),
        FleetError::Answer(_) => ApiError::internal(error),
        FleetError::Storage(error) => error.into(),
    }
}

/// Defines a type for each operation that describes its error responses.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident => [$($part:ident),+];)+) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let mut all = server_errors();
                    all.extend(bearer_errors());
                    $(all.extend($part());)+
                    describe(all)
                }
            }
        )+
    };
}

failures! {
    /// Errors of a list.
    ListErrors => [merchant_session, query];
    /// Errors of a list of device events.
    DeviceListErrors => [merchant_session, query, no_device];
    /// Errors of reading a device.
    DeviceErrors => [merchant_session, no_device];
    /// Errors of provisioning a device.
    ProvisionErrors => [merchant_session, idempotent_body, device_body, already_exists];
    /// Errors of updating a device.
    UpdateDeviceErrors => [merchant_session, patch_body, device_body, no_device, decommissioned];
    /// Errors of releasing a device.
    ReleaseErrors => [merchant_session, no_device, not_claimed, decommissioned];
    /// Errors of decommissioning a device.
    DecommissionErrors => [merchant_session, no_device, already_decommissioned];
    /// Errors of transferring a device.
    TransferErrors => [reseller_session, no_merchant, body, no_device, not_transferable, decommissioned];
    /// Errors of creating a location.
    AddLocationErrors => [merchant_session, idempotent_body, no_merchant];
    /// Errors of reading a location.
    LocationErrors => [merchant_session, no_location];
    /// Errors of updating a location.
    UpdateLocationErrors => [merchant_session, patch_body, no_location];
    /// Errors of a list of merchants.
    MerchantListErrors => [reseller_session, query];
    /// Errors of creating a merchant.
    AddMerchantErrors => [reseller_session, idempotent_body];
    /// Errors of reading a merchant.
    MerchantErrors => [reseller_session, no_merchant];
    /// Errors of an import before its first result.
    ImportErrors => [reseller_session, import_body];
    /// Errors of updating a merchant.
    UpdateMerchantErrors => [reseller_session, no_merchant, patch_body];
}

/// Errors that a reseller's copy of a merchant route adds. Its 403 replaces the merchant's; its 404 includes the merchant's.
pub(crate) fn reseller_errors(path: &str) -> BTreeMap<String, RefOr<Response>> {
    let mut all = reseller_session();
    all.extend(no_merchant());
    if path.contains("{device_id}") {
        all.extend(no_device());
    }
    if path.contains("{location_id}") {
        all.extend(no_location());
    }
    describe(all)
}

fn bearer_errors() -> Vec<ErrorExample> {
    vec![
        ErrorExample(ErrorCode::Unauthorized, "Authorization header with a Bearer token is required", None),
        ErrorExample(ErrorCode::Unauthorized, "Access token is invalid or expired", None),
        ErrorExample(ErrorCode::Forbidden, "Access token claim merchant_id must be one UUID", None),
        ErrorExample(ErrorCode::Unauthorized, "Session has not been initiated", None),
        ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_REQUESTS, None),
    ]
}

fn merchant_session() -> Vec<ErrorExample> {
    vec![
        ErrorExample(ErrorCode::Forbidden, "Session does not act for a merchant", None),
        ErrorExample(ErrorCode::Forbidden, "Role does not allow this", None),
    ]
}

fn reseller_session() -> Vec<ErrorExample> {
    vec![
        ErrorExample(ErrorCode::Forbidden, "Session does not act for a reseller", None),
        ErrorExample(ErrorCode::Forbidden, "Role does not allow this", None),
    ]
}

fn query() -> Vec<ErrorExample> {
    let unknown = "unknown field `sort`, expected `limit` or `cursor`";
    vec![ErrorExample(ErrorCode::Invalid, "Invalid query parameters", Some(json!({ "message": unknown })))]
}

fn body() -> Vec<ErrorExample> {
    let missing = "missing field `name` at line 1 column 2";
    vec![
        ErrorExample(ErrorCode::Invalid, "Invalid request body", Some(json!({ "message": missing }))),
        ErrorExample(ErrorCode::Invalid, BODY_NOT_RECEIVED, None),
        ErrorExample(ErrorCode::TooLarge, "Request body is too large", None),
        ErrorExample(ErrorCode::UnsupportedMediaType, "Content-Type must be application/json", None),
        ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}

fn import_body() -> Vec<ErrorExample> {
    let message = |text: &str| Some(json!({ "message": text }));
    let column = "unknown column \"serial\": the columns are device_id, merchant_id, label and location_id";
    let types = "Content-Type must be text/csv, application/x-ndjson or application/jsonl";
    vec![
        ErrorExample(
            ErrorCode::Invalid,
            "Invalid query parameters",
            message("mode must be all_or_nothing or best_effort"),
        ),
        ErrorExample(ErrorCode::Invalid, "Invalid request body", message(column)),
        ErrorExample(ErrorCode::Invalid, "Request body did not arrive in time", None),
        ErrorExample(ErrorCode::Invalid, BODY_NOT_RECEIVED, None),
        ErrorExample(
            ErrorCode::Invalid,
            "Idempotency-Key header is invalid",
            message("Idempotency-Key must be sent once"),
        ),
        ErrorExample(ErrorCode::StateForbids, "Idempotency-Key was used for another request", None),
        ErrorExample(
            ErrorCode::TooLarge,
            "Request body is too large",
            message("at most 1000000 rows are accepted: split the file"),
        ),
        ErrorExample(ErrorCode::UnsupportedMediaType, types, None),
        ErrorExample(ErrorCode::TooManyAttempts, "Too many refused rows, try again later", None),
    ]
}

fn idempotent_body() -> Vec<ErrorExample> {
    let mut all = body();
    let once = json!({ "message": "Idempotency-Key must be sent once" });
    all.extend([
        ErrorExample(ErrorCode::Invalid, "Idempotency-Key header is invalid", Some(once)),
        ErrorExample(ErrorCode::StateForbids, "Idempotency-Key was used for another request", None),
    ]);
    all
}

fn patch_body() -> Vec<ErrorExample> {
    let unknown = "status: unknown field `status`, expected `label` or `location_id` at line 1 column 9";
    let media = "Content-Type must be application/merge-patch+json or application/json";
    vec![
        ErrorExample(ErrorCode::Invalid, "Invalid request body", Some(json!({ "message": unknown }))),
        ErrorExample(ErrorCode::Invalid, BODY_NOT_RECEIVED, None),
        ErrorExample(ErrorCode::TooLarge, "Request body is too large", None),
        ErrorExample(ErrorCode::UnsupportedMediaType, media, None),
        ErrorExample(ErrorCode::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}

fn device_body() -> Vec<ErrorExample> {
    let location = json!({ "location_id": "6f1d2c3b-0000-4000-8000-000000000001" });
    vec![ErrorExample(ErrorCode::Invalid, "Unknown location", Some(location))]
}

fn device() -> Option<Value> {
    Some(json!({ "device_id": "POS-8F3A2C91" }))
}

fn no_device() -> Vec<ErrorExample> {
    vec![ErrorExample(ErrorCode::NotFound, "Device not found", device())]
}

fn no_merchant() -> Vec<ErrorExample> {
    let merchant = json!({ "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f" });
    vec![ErrorExample(ErrorCode::NotFound, "Merchant not found", Some(merchant))]
}

fn no_location() -> Vec<ErrorExample> {
    let location = json!({ "location_id": "6f1d2c3b-0000-4000-8000-000000000001" });
    vec![ErrorExample(ErrorCode::NotFound, "Location not found", Some(location))]
}

fn already_exists() -> Vec<ErrorExample> {
    vec![ErrorExample(ErrorCode::StateForbids, "Device already exists", device())]
}

fn not_claimed() -> Vec<ErrorExample> {
    vec![ErrorExample(ErrorCode::StateForbids, "Device has not been claimed", device())]
}

fn decommissioned() -> Vec<ErrorExample> {
    vec![ErrorExample(ErrorCode::StateForbids, "Device has been decommissioned", device())]
}

fn already_decommissioned() -> Vec<ErrorExample> {
    vec![ErrorExample(ErrorCode::StateForbids, "Device has already been decommissioned", device())]
}

fn not_transferable() -> Vec<ErrorExample> {
    vec![
        ErrorExample(ErrorCode::StateForbids, "Device has already been claimed", device()),
        ErrorExample(ErrorCode::StateForbids, "Device belongs to this merchant already", device()),
    ]
}
