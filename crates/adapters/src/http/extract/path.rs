//! The ids in a path. One that cannot be an id names nothing: it is told as one that is not there.

use actix_web::HttpRequest;
use pos_application::FleetError;
use pos_domain::{DeviceId, LocationId, MerchantId};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::api_error::ApiError;
use crate::http::call_log::about_device;
use crate::http::fleet_failures::told;

/// The device that the path names, and how an answer speaks of it.
pub(in crate::http) fn device_id(request: &HttpRequest) -> Result<(DeviceId, Value), ApiError> {
    let text = segments(request)?.device_id;
    let about = json!({ "device_id": text });
    let id = DeviceId::parse(&text).map_err(|_| told(FleetError::UnknownDevice, about.clone()))?;
    about_device(&id);
    Ok((id, about))
}

/// The merchant, likewise.
pub(in crate::http) fn merchant_id(request: &HttpRequest) -> Result<(MerchantId, Value), ApiError> {
    let text = segments(request)?.merchant_id;
    let about = json!({ "merchant_id": text });
    let id = Uuid::try_parse(&text).map_err(|_| told(FleetError::UnknownMerchant, about.clone()))?;
    Ok((MerchantId(id), about))
}

/// The location, likewise.
pub(in crate::http) fn location_id(request: &HttpRequest) -> Result<(LocationId, Value), ApiError> {
    let text = segments(request)?.location_id;
    let about = json!({ "location_id": text });
    let id = Uuid::try_parse(&text).map_err(|_| told(FleetError::UnknownLocation, about.clone()))?;
    Ok((LocationId(id), about))
}

/// The ids that a path may have, without their percent-encoding.
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
