//! Errors of the fleet use cases: conversion to [`ApiError`] and OpenAPI error responses.

use std::collections::BTreeMap;

use pos_application::support::{FleetError, StateRefusal};
use pos_domain::device::{DecommissionRefusal, ReleaseRefusal, TransferRefusal, UpdateRefusal};
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use crate::errors::api_error::ApiError;
use crate::errors::sessions::merchant_claim;
use crate::errors::table::{
    ALREADY_CLAIMED, ALREADY_DECOMMISSIONED, BODY_NOT_RECEIVED, BODY_TOO_LARGE, DECOMMISSIONED, DEVICE_EXISTS,
    DEVICE_NOT_FOUND, ErrorRow, INVALID_BODY, INVALID_QUERY, KEY_REUSED, LOCATION_NOT_FOUND, MERCHANT_NOT_FOUND,
    NOT_A_MERCHANTS, NOT_A_MERGE_PATCH, NOT_A_RESELLERS, NOT_AN_IMPORT_FILE, NOT_CLAIMED, NOT_INITIATED, NOT_JSON,
    ROLE_TOO_LOW, SAME_MERCHANT, TOKEN_INVALID, TOKEN_MISSING, TOO_MANY_BODIES, TOO_MANY_REFUSED_ROWS,
    TOO_MANY_REQUESTS, UNKNOWN_LOCATION, UPLOAD_STALLED, header_invalid,
};
use crate::extract::IDEMPOTENCY_KEY;
use crate::openapi::responses::{describe, server_errors};

/// Converts an error. `about` is sent as its details: the resource of the request, as the caller named it.
pub(crate) fn to_api_error(error: FleetError, about: impl Into<Option<Value>>) -> ApiError {
    match error {
        FleetError::UnknownMerchant => MERCHANT_NOT_FOUND.with(about),
        FleetError::UnknownDevice => DEVICE_NOT_FOUND.with(about),
        FleetError::UnknownLocation => LOCATION_NOT_FOUND.with(about),
        FleetError::InvalidLocation(id) => UNKNOWN_LOCATION.with(json!({ "location_id": id.to_string() })),
        FleetError::Taken => DEVICE_EXISTS.with(about),
        FleetError::Refused(refusal) => refused(refusal).with(about),
        FleetError::KeyReused => KEY_REUSED.into(),
        FleetError::Forbidden => ROLE_TOO_LOW.into(),
        FleetError::Contended => ApiError::unavailable().caused_by(error),
        FleetError::Answer(_) => ApiError::internal(error),
        FleetError::Storage(error) => error.into(),
    }
}

fn refused(refusal: StateRefusal) -> ErrorRow {
    match refusal {
        StateRefusal::Update(UpdateRefusal::Decommissioned)
        | StateRefusal::Release(ReleaseRefusal::Decommissioned)
        | StateRefusal::Move(TransferRefusal::Decommissioned) => DECOMMISSIONED,
        StateRefusal::Release(ReleaseRefusal::NotClaimed) => NOT_CLAIMED,
        StateRefusal::Decommission(DecommissionRefusal::AlreadyDecommissioned) => ALREADY_DECOMMISSIONED,
        StateRefusal::Move(TransferRefusal::AlreadyClaimed) => ALREADY_CLAIMED,
        StateRefusal::Move(TransferRefusal::SameMerchant) => SAME_MERCHANT,
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
                    describe(&all)
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
    describe(&all)
}

fn bearer_errors() -> Vec<ApiError> {
    vec![TOKEN_MISSING.into(), TOKEN_INVALID.into(), merchant_claim(), NOT_INITIATED.into(), TOO_MANY_REQUESTS.into()]
}

fn merchant_session() -> Vec<ApiError> {
    vec![NOT_A_MERCHANTS.into(), ROLE_TOO_LOW.into()]
}

fn reseller_session() -> Vec<ApiError> {
    vec![NOT_A_RESELLERS.into(), ROLE_TOO_LOW.into()]
}

fn query() -> Vec<ApiError> {
    vec![INVALID_QUERY.because("unknown field `sort`, expected `limit` or `cursor`")]
}

fn body() -> Vec<ApiError> {
    vec![
        INVALID_BODY.because("missing field `name` at line 1 column 2"),
        BODY_NOT_RECEIVED.into(),
        BODY_TOO_LARGE.into(),
        NOT_JSON.into(),
        TOO_MANY_BODIES.into(),
    ]
}

fn import_body() -> Vec<ApiError> {
    let column = "unknown column \"serial\": the columns are device_id, merchant_id, label and location_id";
    vec![
        INVALID_QUERY.because("mode must be all_or_nothing or best_effort"),
        INVALID_BODY.because(column),
        UPLOAD_STALLED.into(),
        BODY_NOT_RECEIVED.into(),
        key_repeated(),
        KEY_REUSED.into(),
        BODY_TOO_LARGE.because("at most 1000000 rows are accepted: split the file"),
        NOT_AN_IMPORT_FILE.into(),
        TOO_MANY_REFUSED_ROWS.into(),
    ]
}

fn idempotent_body() -> Vec<ApiError> {
    let mut all = body();
    all.extend([key_repeated(), KEY_REUSED.into()]);
    all
}

fn key_repeated() -> ApiError {
    header_invalid(IDEMPOTENCY_KEY, "must be sent once")
}

fn patch_body() -> Vec<ApiError> {
    let unknown = "status: unknown field `status`, expected `label` or `location_id` at line 1 column 9";
    vec![
        INVALID_BODY.because(unknown),
        BODY_NOT_RECEIVED.into(),
        BODY_TOO_LARGE.into(),
        NOT_A_MERGE_PATCH.into(),
        TOO_MANY_BODIES.into(),
    ]
}

fn device() -> Value {
    json!({ "device_id": "POS-8F3A2C91" })
}

fn location() -> Value {
    json!({ "location_id": "6f1d2c3b-0000-4000-8000-000000000001" })
}

fn device_body() -> Vec<ApiError> {
    vec![UNKNOWN_LOCATION.with(location())]
}

fn no_device() -> Vec<ApiError> {
    vec![DEVICE_NOT_FOUND.with(device())]
}

fn no_merchant() -> Vec<ApiError> {
    vec![MERCHANT_NOT_FOUND.with(json!({ "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f" }))]
}

fn no_location() -> Vec<ApiError> {
    vec![LOCATION_NOT_FOUND.with(location())]
}

fn already_exists() -> Vec<ApiError> {
    vec![DEVICE_EXISTS.with(device())]
}

fn not_claimed() -> Vec<ApiError> {
    vec![NOT_CLAIMED.with(device())]
}

fn decommissioned() -> Vec<ApiError> {
    vec![DECOMMISSIONED.with(device())]
}

fn already_decommissioned() -> Vec<ApiError> {
    vec![ALREADY_DECOMMISSIONED.with(device())]
}

fn not_transferable() -> Vec<ApiError> {
    vec![ALREADY_CLAIMED.with(device()), SAME_MERCHANT.with(device())]
}
