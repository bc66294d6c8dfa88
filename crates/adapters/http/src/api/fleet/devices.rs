//! Device routes of merchants and resellers. A merchant and its reseller use the same handlers.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::fleet::{DetailsPatch, DeviceFilter, NewDevice};
use pos_application::support::{FleetError, SerializeError};
use pos_domain::device::{Device, DeviceDetails};
use pos_domain::shared::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::api::cursor::{List, parse_canonical};
use crate::api::fleet::device_responses::{DevicePage, DeviceResponse, EventPage};
use crate::api::shared::{IdempotencyParams, PageQuery, encoded, encoder, reply};
use crate::errors::api_error::ApiError;
use crate::errors::back_office::{
    DecommissionErrors, DeviceErrors, DeviceListErrors, ListErrors, ProvisionErrors, ReleaseErrors, TransferErrors,
    UpdateDeviceErrors, to_api_error,
};
use crate::extract::fields::{Limit, LocationField, MerchantField, NameField, NewDeviceId, StatusField, present};
use crate::extract::{
    Access, AuthThenBody, AuthorizedFor, Body, IdempotentJson, MergePatch, ResellerManaged, device_id, query,
};
use crate::state::Api;

/// A device to be provisioned.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_id": "POS-8F3A2C91", "label": "Till 2", "location_id": "6f1d2c3b-0000-4000-8000-000000000001",
}))]
pub(crate) struct ProvisionDeviceRequest {
    /// Id assigned by the factory. A random id is generated if it is absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^POS-[0-9A-F]{8}$")]
    device_id: Option<NewDeviceId>,
    /// Display name.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    label: Option<NameField>,
    /// A location of the merchant.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    location_id: Option<LocationField>,
}

/// Changes to a device: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "Till 3", "location_id": null}))]
pub(crate) struct UpdateDeviceRequest {
    /// Display name; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, value_type = Option<String>, min_length = 1, max_length = 200)]
    label: Option<Option<NameField>>,
    /// A location of the device's merchant; `null` removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, value_type = Option<uuid::Uuid>)]
    location_id: Option<Option<LocationField>>,
}

/// Destination of a transfer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f"}))]
pub(crate) struct TransferDeviceRequest {
    /// Another merchant of the same reseller.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: MerchantField,
}

/// Filter and page of a list of devices.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceQuery {
    /// Maximum number of items; 50 if it is absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
    /// `next_cursor` of the previous page.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// Only devices with this status.
    #[param(value_type = Option<String>, pattern = "^(inactive|claimed|activated|decommissioned)$")]
    status: Option<StatusField>,
    /// Only devices at this location.
    #[param(value_type = Option<uuid::Uuid>)]
    location_id: Option<LocationField>,
}

/// Provisions a device
///
/// The device starts as `inactive`. Its terminal can request a pairing code immediately. An id that is already in use is
/// rejected, whichever merchant has it.
#[utoipa::path(
    post,
    path = "/merchant/devices",
    tag = "Merchant",
    security(("bearer" = [])),
    params(IdempotencyParams),
    request_body = ProvisionDeviceRequest,
    responses((status = 201, description = "The new device", body = DeviceResponse), ProvisionErrors)
)]
pub(crate) async fn provision_device<S: Access>(
    api: Data<Api>,
    request: AuthThenBody<IdempotentJson<ProvisionDeviceRequest>, AuthorizedFor<S>>,
) -> Result<HttpResponse, ApiError> {
    let AuthThenBody { auth, body: IdempotentJson { body, idempotency } } = request;
    let id = body.device_id.map(|field| field.0);
    let about = id.as_ref().map(|id| json!({ "device_id": id.as_str() }));
    let details =
        DeviceDetails { label: body.label.map(|field| field.0), location_id: body.location_id.map(|field| field.0) };
    let new = NewDevice { id, details };
    let encoder = encoder(&api, idempotency, to_json);
    let device = api.use_cases.fleet.provision.one_encoded(&auth.authorization, &new, encoder).await;
    Ok(encoded(HttpResponse::Created(), device.map_err(|error| to_api_error(error, about))?))
}

/// Serializes a new device. The result is sent, and stored for replay.
fn to_json(device: &Device) -> Result<String, SerializeError> {
    Ok(serde_json::to_string(&DeviceResponse::of(device, device.provisioned_at())?)?)
}

/// Lists devices
///
/// Sorted by id. Follow `next_cursor` until it is `null`. A device that is provisioned in the meantime may be missing; no
/// device is listed twice.
#[utoipa::path(
    get,
    path = "/merchant/devices",
    tag = "Merchant",
    security(("bearer" = [])),
    params(DeviceQuery),
    responses((status = 200, description = "A page of devices", body = DevicePage), ListErrors)
)]
pub(crate) async fn list_devices<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<DevicePage>, ApiError> {
    let params: DeviceQuery = query(&http)?;
    let after = List::Devices.decode(params.cursor.as_deref(), |id| DeviceId::parse(id).ok())?;
    let filter = DeviceFilter {
        status: params.status.map(|field| field.0),
        location_id: params.location_id.map(|field| field.0),
    };
    let page = api.use_cases.fleet.queries.list(&auth.authorization, filter, after, params.limit.0).await;
    reply(page, None, |page| DevicePage::of(page, api.clock.now()))
}

/// Returns a device
#[utoipa::path(
    get,
    path = "/merchant/devices/{device_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The device", body = DeviceResponse), DeviceErrors)
)]
pub(crate) async fn show_device<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    to_response(&api, api.use_cases.fleet.queries.one(&auth.authorization, &id).await, about)
}

/// Updates a device
///
/// A merge patch (RFC 7396): an absent member is unchanged, `null` removes the value. A patch that changes nothing
/// records no event.
#[utoipa::path(
    patch,
    path = "/merchant/devices/{device_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    request_body(content(
        (UpdateDeviceRequest = "application/merge-patch+json"),
        (UpdateDeviceRequest = "application/json"),
    )),
    responses((status = 200, description = "The updated device", body = DeviceResponse), UpdateDeviceErrors)
)]
pub(crate) async fn update_device<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    request: AuthThenBody<MergePatch<UpdateDeviceRequest>, AuthorizedFor<S>>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let AuthThenBody { auth, body: MergePatch(body) } = request;
    let (id, about) = device_id(&http)?;
    let patch = DetailsPatch {
        label: body.label.map(|label| label.map(|field| field.0)),
        location_id: body.location_id.map(|location| location.map(|field| field.0)),
    };
    to_response(&api, api.use_cases.fleet.update.execute(&auth.authorization, &id, &patch).await, about)
}

/// Releases a device
///
/// The device becomes `inactive` and its pairing code is invalidated. Its terminal can request a new code and be claimed again.
#[utoipa::path(
    post,
    path = "/merchant/devices/{device_id}/release",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The updated device", body = DeviceResponse), ReleaseErrors)
)]
pub(crate) async fn release_device<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    to_response(&api, api.use_cases.fleet.release.execute(&auth.authorization, &id).await, about)
}

/// Decommissions a device
///
/// This is final. Its terminal gets the same responses as a device that was never provisioned. The id cannot be used
/// again.
#[utoipa::path(
    post,
    path = "/merchant/devices/{device_id}/decommission",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The updated device", body = DeviceResponse), DecommissionErrors)
)]
pub(crate) async fn decommission_device<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    to_response(&api, api.use_cases.fleet.decommission.execute(&auth.authorization, &id).await, about)
}

/// Transfers an inactive device to another merchant
///
/// Both merchants must belong to the reseller. The device's pairing code is invalidated; its label and location are removed.
#[utoipa::path(
    post,
    path = "/reseller/merchants/{merchant_id}/devices/{device_id}/transfer",
    tag = "Reseller",
    security(("bearer" = [])),
    params(
        ("merchant_id" = uuid::Uuid, Path, description = "The current merchant of the device"),
        ("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91"),
    ),
    request_body = TransferDeviceRequest,
    responses((status = 200, description = "The updated device", body = DeviceResponse), TransferErrors)
)]
pub(crate) async fn transfer_device(
    api: Data<Api>,
    http: HttpRequest,
    request: AuthThenBody<Body<TransferDeviceRequest>, AuthorizedFor<ResellerManaged>>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let AuthThenBody { auth, body: Body(TransferDeviceRequest { merchant_id: MerchantField(to) }) } = request;
    let (id, about) = device_id(&http)?;
    let transferred = api.use_cases.fleet.transfer.execute(&auth.authorization, &id, to).await;
    let about = match transferred {
        Err(FleetError::UnknownMerchant) => json!({ "merchant_id": to.to_string() }),
        _ => about,
    };
    to_response(&api, transferred, about)
}

/// Lists the events of a device
///
/// Oldest first. Only events from the time when the device belonged to the merchant, or to a merchant of the reseller.
#[utoipa::path(
    get,
    path = "/merchant/devices/{device_id}/events",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91"), PageQuery),
    responses((status = 200, description = "A page of events", body = EventPage), DeviceListErrors)
)]
pub(crate) async fn device_events<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<EventPage>, ApiError> {
    let (id, about) = device_id(&http)?;
    let params: PageQuery = query(&http)?;
    let after = List::Events.decode(params.cursor.as_deref(), parse_canonical::<u64>)?.unwrap_or(0);
    let page = api.use_cases.fleet.queries.events(&auth.authorization, &id, after, params.limit.0).await;
    reply(page, about, EventPage::of)
}

fn to_response(api: &Api, device: Result<Device, FleetError>, about: Value) -> Result<Json<DeviceResponse>, ApiError> {
    reply(device, about, |device| DeviceResponse::of(device, api.clock.now()))
}
