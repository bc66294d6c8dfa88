//! Parsers of ids in paths. A malformed id is answered like an unknown one (404).

use actix_web::HttpRequest;
use pos_application::support::FleetError;
use pos_domain::shared::{DeviceId, LocationId, MerchantId};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::errors::api_error::ApiError;
use crate::errors::back_office::to_api_error;
use crate::observe::call_log::record_device;

/// Returns the device id of the path, and error details with the id as sent.
pub(crate) fn device_id(request: &HttpRequest) -> Result<(DeviceId, Value), ApiError> {
    let text = segments(request)?.device_id;
    let about = json!({ "device_id": text });
    let id = DeviceId::parse(&text).map_err(|_| to_api_error(FleetError::UnknownDevice, about.clone()))?;
    record_device(&id);
    Ok((id, about))
}

/// Returns the merchant id of the path, and error details with the id as sent.
pub(crate) fn merchant_id(request: &HttpRequest) -> Result<(MerchantId, Value), ApiError> {
    let text = segments(request)?.merchant_id;
    let about = json!({ "merchant_id": text });
    let id = Uuid::try_parse(&text).map_err(|_| to_api_error(FleetError::UnknownMerchant, about.clone()))?;
    Ok((MerchantId(id), about))
}

/// Returns the location id of the path, and error details with the id as sent.
pub(crate) fn location_id(request: &HttpRequest) -> Result<(LocationId, Value), ApiError> {
    let text = segments(request)?.location_id;
    let about = json!({ "location_id": text });
    let id = Uuid::try_parse(&text).map_err(|_| to_api_error(FleetError::UnknownLocation, about.clone()))?;
    Ok((LocationId(id), about))
}

/// Ids in a path, percent-decoded.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Segments {
    merchant_id: String,
    device_id: String,
    location_id: String,
}

fn segments(request: &HttpRequest) -> Result<Segments, ApiError> {
    request.match_info().load().map_err(|error| ApiError::internal(error.to_string()))
}
