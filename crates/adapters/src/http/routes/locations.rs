//! Locations: the same handlers for a merchant and, in its merchant's affairs, for a reseller.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::{NoAnswer, Page};
use pos_domain::{Location, LocationId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::error::Format;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::cursor::{List, exactly};
use super::super::extract::{Authorized, Creating, Mandated, MergePatch, Side, location_id, query};
use super::super::fields::{NameField, not_null};
use super::super::fleet_failures::{AddLocationErrors, AmendLocationErrors, ListErrors, LocationErrors, told};
use super::bootstrap::whole_seconds;
use super::fleet::{IdempotencyParams, PageQuery, created};

/// A place that is to be made known.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "High Street"}))]
pub(crate) struct AddLocationRequest {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NameField,
}

/// What is to be changed of a location: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "High Street 7"}))]
pub(crate) struct AmendLocationRequest {
    /// What people call it. It cannot be taken away.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, nullable = false, value_type = String, min_length = 1, max_length = 200)]
    name: Option<NameField>,
}

/// A place where a merchant's terminals stand.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "location_id": "6f1d2c3b-0000-4000-8000-000000000001", "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f",
    "name": "High Street", "created_at": "2025-12-12T09:00:00Z",
}))]
pub(crate) struct LocationResponse {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    location_id: String,
    /// Whose it is.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// What people call it.
    name: String,
    /// When it was made known.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of locations.
#[derive(Serialize, ToSchema)]
pub(crate) struct LocationPage {
    items: Vec<LocationResponse>,
    /// For `cursor` of the next page; `null` at the end.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl LocationResponse {
    fn of(location: &Location) -> Result<Self, Format> {
        Ok(Self {
            location_id: location.id.to_string(),
            merchant_id: location.merchant_id.to_string(),
            name: location.name.to_string(),
            created_at: whole_seconds(location.created_at)?,
        })
    }
}

impl LocationPage {
    fn of(page: &Page<Location>) -> Result<Self, Format> {
        let items = page.items.iter().map(LocationResponse::of).collect::<Result<Vec<_>, _>>()?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Self { items, next_cursor: last.map(|location| List::Locations.after(location.id)) })
    }
}

/// Makes a location known
#[utoipa::path(
    post,
    path = "/merchant/locations",
    tag = "Merchant",
    security(("bearer" = [])),
    params(IdempotencyParams),
    request_body = AddLocationRequest,
    responses((status = 201, description = "The new location", body = LocationResponse), AddLocationErrors)
)]
pub(crate) async fn add_location<S: Side>(
    api: Data<Api>,
    request: Authorized<Creating<AddLocationRequest>, Mandated<S>>,
) -> Result<HttpResponse, ApiError> {
    let Authorized { caller, sent: Creating { body, name } } = request;
    let call = name.map(|name| api.fleet.answers.keyed(name.key, name.fingerprint, answer));
    let location = api.fleet.locations.add(&caller.mandate, caller.merchant_id, &body.name.0, call).await;
    let about = || json!({ "merchant_id": caller.merchant_id.to_string() });
    created(location.map_err(|error| told(error, about()))?, answer)
}

/// A new location in the words that its caller is told, and told again.
fn answer(location: &Location) -> Result<String, NoAnswer> {
    Ok(serde_json::to_string(&LocationResponse::of(location)?)?)
}

/// Lists locations
///
/// In the order of their ids. Follow `next_cursor` until it is `null`.
#[utoipa::path(
    get,
    path = "/merchant/locations",
    tag = "Merchant",
    security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of locations", body = LocationPage), ListErrors)
)]
pub(crate) async fn list_locations<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<LocationPage>, ApiError> {
    let wanted: PageQuery = query(&http)?;
    let after = List::Locations.place(wanted.cursor.as_deref(), exactly)?.map(LocationId);
    let page = api.fleet.locations.list(&caller.mandate, after, wanted.limit.0).await;
    Ok(Json(LocationPage::of(&page.map_err(|error| told(error, None))?)?))
}

/// Shows a location
#[utoipa::path(
    get,
    path = "/merchant/locations/{location_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("location_id" = uuid::Uuid, Path, description = "The location")),
    responses((status = 200, description = "The location", body = LocationResponse), LocationErrors)
)]
pub(crate) async fn show_location<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    caller: Mandated<S>,
) -> Result<Json<LocationResponse>, ApiError> {
    let (id, about): (LocationId, Value) = location_id(&http)?;
    let location = api.fleet.locations.one(&caller.mandate, id).await.map_err(|error| told(error, about))?;
    Ok(Json(LocationResponse::of(&location)?))
}

/// Gives a location another name
///
/// A merge patch (RFC 7396). One that changes nothing leaves no event.
#[utoipa::path(
    patch,
    path = "/merchant/locations/{location_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("location_id" = uuid::Uuid, Path, description = "The location")),
    request_body(content(
        (AmendLocationRequest = "application/merge-patch+json"),
        (AmendLocationRequest = "application/json"),
    )),
    responses((status = 200, description = "The location afterwards", body = LocationResponse), AmendLocationErrors)
)]
pub(crate) async fn amend_location<S: Side>(
    api: Data<Api>,
    http: HttpRequest,
    request: Authorized<MergePatch<AmendLocationRequest>, Mandated<S>>,
) -> Result<Json<LocationResponse>, ApiError> {
    let Authorized { caller, sent: MergePatch(body) } = request;
    let (id, about) = location_id(&http)?;
    let name = body.name.map(|field| field.0);
    let location = api.fleet.locations.amend(&caller.mandate, id, name.as_ref()).await;
    Ok(Json(LocationResponse::of(&location.map_err(|error| told(error, about))?)?))
}
