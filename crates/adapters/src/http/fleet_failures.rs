//! How the failures of the fleet's use cases are told, and described.

use std::collections::BTreeMap;

use pos_application::FleetError;
use serde_json::{Value, json};
use utoipa::IntoResponses;
use utoipa::openapi::RefOr;
use utoipa::openapi::response::Response;

use super::admission::{BODY_NOT_RECEIVED, TOO_MANY_BODIES, TOO_MANY_REQUESTS};
use super::api_error::{ApiError, Failure};
use super::described::{Told, describe, ours};

/// Tells a failure; `about` is the thing that the call was about, as the caller named it.
pub(super) fn told(error: FleetError, about: impl Into<Option<Value>>) -> ApiError {
    let about = |failure, error: FleetError| ApiError::new(failure, error.to_string()).maybe_details(about.into());
    match error {
        FleetError::UnknownMerchant | FleetError::UnknownDevice | FleetError::UnknownLocation => {
            about(Failure::NotFound, error)
        }
        FleetError::Taken | FleetError::Refused(_) => about(Failure::StateForbids, error),
        FleetError::NoSuchPlace(id) => {
            ApiError::invalid(error.to_string()).details(json!({ "location_id": id.to_string() }))
        }
        FleetError::KeyReused => ApiError::new(Failure::StateForbids, error.to_string()),
        FleetError::Forbidden => ApiError::new(Failure::Forbidden, error.to_string()),
        FleetError::Contended => ApiError::unavailable().caused_by(error),
        FleetError::Answer(_) => ApiError::internal(error),
        FleetError::Storage(error) => error.into(),
    }
}

/// A kind of call, by what it may be told.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident => [$($part:ident),+];)+) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let mut all = ours();
                    all.extend(bearer());
                    $(all.extend($part());)+
                    describe(all)
                }
            }
        )+
    };
}

failures! {
    /// What a call for a list may be told.
    ListErrors => [of_merchant, query];
    /// What a call for the events of a device may be told.
    DeviceListErrors => [of_merchant, query, no_device];
    /// What a call for one device may be told.
    DeviceErrors => [of_merchant, no_device];
    /// What a call to make a device known may be told.
    ProvisionErrors => [of_merchant, creating, device_body, taken];
    /// What a call to change a device may be told.
    AmendDeviceErrors => [of_merchant, patching, device_body, no_device, decommissioned];
    /// What a call to release a device may be told.
    ReleaseErrors => [of_merchant, no_device, not_claimed, decommissioned];
    /// What a call to decommission a device may be told.
    DecommissionErrors => [of_merchant, no_device, already_decommissioned];
    /// What a call to move a device may be told.
    MoveErrors => [of_reseller, no_merchant, body, no_device, not_movable, decommissioned];
    /// What a call to make a location known may be told.
    AddLocationErrors => [of_merchant, creating, no_merchant];
    /// What a call for one location may be told.
    LocationErrors => [of_merchant, no_location];
    /// What a call to change a location may be told.
    AmendLocationErrors => [of_merchant, patching, no_location];
    /// What a call for the list of merchants may be told.
    MerchantListErrors => [of_reseller, query];
    /// What a call to make a merchant known may be told.
    AddMerchantErrors => [of_reseller, creating];
    /// What a call for one merchant may be told.
    MerchantErrors => [of_reseller, no_merchant];
    /// What an import may be told before its first result.
    ImportErrors => [of_reseller, importing];
    /// What a call to change a merchant may be told.
    AmendMerchantErrors => [of_reseller, no_merchant, patching];
}

/// What a reseller may be told beside what its merchant may be: in place of the merchant's own 403, and beside its 404.
pub(super) fn at_resellers_side(path: &str) -> BTreeMap<String, RefOr<Response>> {
    let mut all = of_reseller();
    all.extend(no_merchant());
    if path.contains("{device_id}") {
        all.extend(no_device());
    }
    if path.contains("{location_id}") {
        all.extend(no_location());
    }
    describe(all)
}

fn bearer() -> Vec<Told> {
    vec![
        Told(Failure::Unauthorized, "Authorization header with a Bearer token is required", None),
        Told(Failure::Unauthorized, "Access token is invalid or expired", None),
        Told(Failure::Forbidden, "Access token claim merchant_id must be one UUID", None),
        Told(Failure::Unauthorized, "Session has not been initiated", None),
        Told(Failure::TooManyAttempts, TOO_MANY_REQUESTS, None),
    ]
}

fn of_merchant() -> Vec<Told> {
    vec![
        Told(Failure::Forbidden, "Session does not act for a merchant", None),
        Told(Failure::Forbidden, "Role does not allow this", None),
    ]
}

fn of_reseller() -> Vec<Told> {
    vec![
        Told(Failure::Forbidden, "Session does not act for a reseller", None),
        Told(Failure::Forbidden, "Role does not allow this", None),
    ]
}

fn query() -> Vec<Told> {
    let unknown = "unknown field `sort`, expected `limit` or `cursor`";
    vec![Told(Failure::Invalid, "Invalid query parameters", Some(json!({ "message": unknown })))]
}

fn body() -> Vec<Told> {
    let missing = "missing field `name` at line 1 column 2";
    vec![
        Told(Failure::Invalid, "Invalid request body", Some(json!({ "message": missing }))),
        Told(Failure::Invalid, BODY_NOT_RECEIVED, None),
        Told(Failure::TooLarge, "Request body is too large", None),
        Told(Failure::UnsupportedMediaType, "Content-Type must be application/json", None),
        Told(Failure::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}

fn importing() -> Vec<Told> {
    let message = |text: &str| Some(json!({ "message": text }));
    let column = "there is no column \"serial\": the columns are device_id, merchant_id, label and location_id";
    let types = "Content-Type must be text/csv, application/x-ndjson or application/jsonl";
    vec![
        Told(Failure::Invalid, "Invalid query parameters", message("mode must be all_or_nothing or best_effort")),
        Told(Failure::Invalid, "Invalid request body", message(column)),
        Told(Failure::Invalid, "Request body did not arrive in time", None),
        Told(Failure::Invalid, BODY_NOT_RECEIVED, None),
        Told(Failure::Invalid, "Idempotency-Key header is invalid", message("Idempotency-Key must be sent once")),
        Told(Failure::StateForbids, "Idempotency-Key was used for another request", None),
        Told(
            Failure::TooLarge,
            "Request body is too large",
            message("at most 1000000 rows are accepted: split the file"),
        ),
        Told(Failure::UnsupportedMediaType, types, None),
        Told(Failure::TooManyAttempts, "Too many refused rows, try again later", None),
    ]
}

fn creating() -> Vec<Told> {
    let mut all = body();
    let once = json!({ "message": "Idempotency-Key must be sent once" });
    all.extend([
        Told(Failure::Invalid, "Idempotency-Key header is invalid", Some(once)),
        Told(Failure::StateForbids, "Idempotency-Key was used for another request", None),
    ]);
    all
}

fn patching() -> Vec<Told> {
    let unknown = "status: unknown field `status`, expected `label` or `location_id` at line 1 column 9";
    let media = "Content-Type must be application/merge-patch+json or application/json";
    vec![
        Told(Failure::Invalid, "Invalid request body", Some(json!({ "message": unknown }))),
        Told(Failure::Invalid, BODY_NOT_RECEIVED, None),
        Told(Failure::TooLarge, "Request body is too large", None),
        Told(Failure::UnsupportedMediaType, media, None),
        Told(Failure::TooManyAttempts, TOO_MANY_BODIES, None),
    ]
}

fn device_body() -> Vec<Told> {
    let place = json!({ "location_id": "6f1d2c3b-0000-4000-8000-000000000001" });
    vec![Told(Failure::Invalid, "Unknown location", Some(place))]
}

fn device() -> Option<Value> {
    Some(json!({ "device_id": "POS-8F3A2C91" }))
}

fn no_device() -> Vec<Told> {
    vec![Told(Failure::NotFound, "Device not found", device())]
}

fn no_merchant() -> Vec<Told> {
    let merchant = json!({ "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f" });
    vec![Told(Failure::NotFound, "Merchant not found", Some(merchant))]
}

fn no_location() -> Vec<Told> {
    let location = json!({ "location_id": "6f1d2c3b-0000-4000-8000-000000000001" });
    vec![Told(Failure::NotFound, "Location not found", Some(location))]
}

fn taken() -> Vec<Told> {
    vec![Told(Failure::StateForbids, "Device already exists", device())]
}

fn not_claimed() -> Vec<Told> {
    vec![Told(Failure::StateForbids, "Device has not been claimed", device())]
}

fn decommissioned() -> Vec<Told> {
    vec![Told(Failure::StateForbids, "Device has been decommissioned", device())]
}

fn already_decommissioned() -> Vec<Told> {
    vec![Told(Failure::StateForbids, "Device has already been decommissioned", device())]
}

fn not_movable() -> Vec<Told> {
    vec![
        Told(Failure::StateForbids, "Device has already been claimed", device()),
        Told(Failure::StateForbids, "Device belongs to this merchant already", device()),
    ]
}
