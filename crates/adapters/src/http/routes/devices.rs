//! Devices, as those see them who manage them: the same handlers for a merchant and, in its merchant's affairs, for a
//! reseller.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::{DetailsPatch, DeviceFilter, FleetError, NewDevice, NoAnswer};
use pos_domain::{Device, DeviceDetails, DeviceId};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::cursor::{List, exactly};
use super::super::extract::{Authorized, Body, Creating, Mandated, MergePatch, Parent, Side, device_id, query};
use super::super::fields::{Limit, LocationField, MerchantField, NameField, NewDeviceId, StatusField, present};
use super::super::fleet_failures::{
    AmendDeviceErrors, DecommissionErrors, DeviceErrors, DeviceListErrors, ListErrors, MoveErrors, ProvisionErrors,
    ReleaseErrors, told,
};
use super::device_answers::{DevicePage, DeviceResponse, EventPage};
use super::fleet::{IdempotencyParams, PageQuery, created};

/// A terminal that is to be made known.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_id": "POS-8F3A2C91", "label": "Till 2", "location_id": "6f1d2c3b-0000-4000-8000-000000000001",
}))]
pub(crate) struct ProvisionDeviceRequest {
    /// The name it left the factory with; one is drawn when it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^POS-[0-9A-F]{8}$")]
    device_id: Option<NewDeviceId>,
    /// What people call it.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 200)]
    label: Option<NameField>,
    /// A location of the merchant.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    location_id: Option<LocationField>,
}

/// What is to be changed of a device: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "Till 3", "location_id": null}))]
pub(crate) struct AmendDeviceRequest {
    /// What people call it; `null` for nothing.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, value_type = Option<String>, min_length = 1, max_length = 200)]
    label: Option<Option<NameField>>,
    /// A location of the device's merchant; `null` for none.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, value_type = Option<uuid::Uuid>)]
    location_id: Option<Option<LocationField>>,
}

/// Where a device is to go.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f"}))]
pub(crate) struct MoveDeviceRequest {
    /// Another merchant of the same reseller.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: MerchantField,
}

/// Which devices, and how many.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceQuery {
    /// At most so many; 50 when it is left out.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
    /// Only those in this state.
    #[param(value_type = Option<String>, pattern = "^(inactive|claimed|activated|decommissioned)$")]
    status: Option<StatusField>,
    /// Only those at this location.
    #[param(value_type = Option<uuid::Uuid>)]
    location_id: Option<LocationField>,
}

/// Makes a device known
///
/// It starts `inactive`; its terminal can ask for a pairing code from now on. A taken id is refused, whoever's it is.
#[utoipa::path(
    post,
    path = "/merchant/devices",
    tag = "Merchant",
    security(("bearer" = [])),
    params(IdempotencyParams),
    request_body = ProvisionDeviceRequest,
    responses((status = 201, description = "The new device", body = DeviceResponse), ProvisionErrors)
)]
pub(crate) async fn provision_device<S: Side>(
    api: Data<Api>,
    request: Authorized<Creating<ProvisionDeviceRequest>, Mandated<S>>,
) -> Result<HttpResponse, ApiError> {
    let Authorized { caller, sent: Creating { body, name } } = request;
    let id = body.device_id.map(|field| field.0);
    let about = id.as_ref().map(|id| json!({ "device_id": id.as_str() }));
    let details =
        DeviceDetails { label: body.label.map(|field| field.0), location_id: body.location_id.map(|field| field.0) };
    let new = NewDevice { merchant_id: caller.merchant_id, id, details };
    let call = name.map(|name| api.fleet.answers.keyed(name.key, name.fingerprint, answer));
    let device = api.fleet.provision.one(&caller.mandate, &new, call).await;
    created(device.map_err(|error| told(error, about))?, answer)
}

/// A new device in the words that its caller is told, and told again.
fn answer(device: &Device) -> Result<String, NoAnswer> {
    Ok(serde_json::to_string(&DeviceResponse::of(device, device.provisioned_at())?)?)
}

/// Lists devices
///
/// In the order of their ids. Follow `next_cursor` until it is `null`; devices that are made known meanwhile may or may
/// not be among the rest, none comes twice.
#[utoipa::path(
    get,
    path = "/merchant/devices",
    tag = "Merchant",
    security(("bearer" = [])),
    params(DeviceQuery),
    responses((status = 200, description = "A page of devices", body = DevicePage), ListErrors)
)]
pub(crate) async fn list_devices<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<DevicePage>, ApiError> {
    let wanted: DeviceQuery = query(&http)?;
    let after = List::Devices.place(wanted.cursor.as_deref(), |id| DeviceId::parse(id).ok())?;
    let filter = DeviceFilter {
        status: wanted.status.map(|field| field.0),
        location_id: wanted.location_id.map(|field| field.0),
    };
    let page = api.fleet.view.list(&caller.mandate, filter, after, wanted.limit.0).await;
    let page = page.map_err(|error| told(error, None))?;
    Ok(Json(DevicePage::of(&page, api.clock.now())?))
}

/// Shows a device
#[utoipa::path(
    get,
    path = "/merchant/devices/{device_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The device", body = DeviceResponse), DeviceErrors)
)]
pub(crate) async fn show_device<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    shown(&api, api.fleet.view.one(&caller.mandate, &id).await, about)
}

/// Changes what is kept of a device
///
/// A merge patch (RFC 7396): a member that is left out stays as it is, `null` takes it away. A patch that changes nothing
/// leaves no event.
#[utoipa::path(
    patch,
    path = "/merchant/devices/{device_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    request_body(content(
        (AmendDeviceRequest = "application/merge-patch+json"),
        (AmendDeviceRequest = "application/json"),
    )),
    responses((status = 200, description = "The device afterwards", body = DeviceResponse), AmendDeviceErrors)
)]
pub(crate) async fn amend_device<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    request: Authorized<MergePatch<AmendDeviceRequest>, Mandated<S>>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let Authorized { caller, sent: MergePatch(body) } = request;
    let (id, about) = device_id(&http)?;
    let patch = DetailsPatch {
        label: body.label.map(|label| label.map(|field| field.0)),
        location_id: body.location_id.map(|place| place.map(|field| field.0)),
    };
    shown(&api, api.fleet.amend.execute(&caller.mandate, &id, &patch).await, about)
}

/// Takes a device back to inactive
///
/// Its codes end with it; its terminal can ask for a new one and be claimed again.
#[utoipa::path(
    post,
    path = "/merchant/devices/{device_id}/release",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The device afterwards", body = DeviceResponse), ReleaseErrors)
)]
pub(crate) async fn release_device<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    shown(&api, api.fleet.release.execute(&caller.mandate, &id).await, about)
}

/// Takes a device out of use for good
///
/// From then on it is to its terminal as if it had never been provisioned. Its id is not free again.
#[utoipa::path(
    post,
    path = "/merchant/devices/{device_id}/decommission",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91")),
    responses((status = 200, description = "The device afterwards", body = DeviceResponse), DecommissionErrors)
)]
pub(crate) async fn decommission_device<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let (id, about) = device_id(&http)?;
    shown(&api, api.fleet.decommission.execute(&caller.mandate, &id).await, about)
}

/// Gives an inactive device to another merchant
///
/// Both merchants must be the reseller's. The device's code ends, and its label and location stay behind.
#[utoipa::path(
    post,
    path = "/reseller/merchants/{merchant_id}/devices/{device_id}/move",
    tag = "Reseller",
    security(("bearer" = [])),
    params(
        ("merchant_id" = uuid::Uuid, Path, description = "The merchant that has it"),
        ("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91"),
    ),
    request_body = MoveDeviceRequest,
    responses((status = 200, description = "The device afterwards", body = DeviceResponse), MoveErrors)
)]
pub(crate) async fn move_device(
    api: Data<Api>,
    http: HttpRequest,
    request: Authorized<Body<MoveDeviceRequest>, Mandated<Parent>>,
) -> Result<Json<DeviceResponse>, ApiError> {
    let Authorized { caller, sent: Body(MoveDeviceRequest { merchant_id: MerchantField(to) }) } = request;
    let (id, about) = device_id(&http)?;
    let moved = api.fleet.relocate.execute(&caller.mandate, &id, to).await;
    let about = match moved {
        Err(FleetError::UnknownMerchant) => json!({ "merchant_id": to.to_string() }),
        _ => about,
    };
    shown(&api, moved, about)
}

/// Shows what happened to a device
///
/// Oldest first. Only what happened while the device was yours, or your merchants'.
#[utoipa::path(
    get,
    path = "/merchant/devices/{device_id}/events",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("device_id" = String, Path, description = "The device", example = "POS-8F3A2C91"), PageQuery),
    responses((status = 200, description = "A page of events", body = EventPage), DeviceListErrors)
)]
pub(crate) async fn device_events<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<EventPage>, ApiError> {
    let (id, about) = device_id(&http)?;
    let wanted: PageQuery = query(&http)?;
    let after = List::Events.place(wanted.cursor.as_deref(), exactly::<u64>)?.unwrap_or(0);
    let page = api.fleet.view.events(&caller.mandate, &id, after, wanted.limit.0).await;
    Ok(Json(EventPage::of(&page.map_err(|error| told(error, about))?)?))
}

fn shown(api: &Api, device: Result<Device, FleetError>, about: Value) -> Result<Json<DeviceResponse>, ApiError> {
    let device = device.map_err(|error| told(error, about))?;
    Ok(Json(DeviceResponse::of(&device, api.clock.now())?))
}
