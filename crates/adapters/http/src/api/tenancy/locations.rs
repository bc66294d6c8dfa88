//! Location routes of merchants and resellers. A merchant and its reseller use the same handlers.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::support::{Page, SerializeError};
use pos_domain::shared::LocationId;
use pos_domain::tenancy::Location;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::error::Format;
use utoipa::ToSchema;

use crate::api::cursor::{List, parse_canonical};
use crate::api::shared::whole_seconds;
use crate::api::shared::{IdempotencyParams, PageQuery, encoded, encoder, reply};
use crate::errors::api_error::ApiError;
use crate::errors::back_office::{AddLocationErrors, ListErrors, LocationErrors, UpdateLocationErrors, to_api_error};
use crate::extract::fields::{NameField, not_null};
use crate::extract::{Access, AuthThenBody, AuthorizedFor, IdempotentJson, MergePatch, location_id, query};
use crate::state::Api;

/// A location to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "High Street"}))]
pub(crate) struct AddLocationRequest {
    /// Display name.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NameField,
}

/// Changes to a location: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "High Street 7"}))]
pub(crate) struct UpdateLocationRequest {
    /// Display name. It cannot be removed.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, nullable = false, value_type = String, min_length = 1, max_length = 200)]
    name: Option<NameField>,
}

/// A location of a merchant's terminals.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "location_id": "6f1d2c3b-0000-4000-8000-000000000001", "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f",
    "name": "High Street", "created_at": "2025-12-12T09:00:00Z",
}))]
pub(crate) struct LocationResponse {
    /// Id of the location.
    #[schema(value_type = uuid::Uuid)]
    location_id: String,
    /// Merchant of the location.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// Display name.
    name: String,
    /// Time of creation.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of locations.
#[derive(Serialize, ToSchema)]
pub(crate) struct LocationPage {
    items: Vec<LocationResponse>,
    /// `cursor` of the next page; `null` on the last page.
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

/// Creates a location
#[utoipa::path(
    post,
    path = "/merchant/locations",
    tag = "Merchant",
    security(("bearer" = [])),
    params(IdempotencyParams),
    request_body = AddLocationRequest,
    responses((status = 201, description = "The new location", body = LocationResponse), AddLocationErrors)
)]
pub(crate) async fn add_location<S: Access>(
    api: Data<Api>,
    request: AuthThenBody<IdempotentJson<AddLocationRequest>, AuthorizedFor<S>>,
) -> Result<HttpResponse, ApiError> {
    let AuthThenBody { auth, body: IdempotentJson { body, idempotency } } = request;
    let encoder = encoder(&api, idempotency, to_json);
    let locations = &api.use_cases.tenancy.locations;
    let location = locations.add_encoded(&auth.authorization, &body.name.0, encoder).await;
    let about = || json!({ "merchant_id": auth.authorization.merchant_id().to_string() });
    Ok(encoded(HttpResponse::Created(), location.map_err(|error| to_api_error(error, about()))?))
}

/// Serializes a new location. The result is sent, and stored for replay.
fn to_json(location: &Location) -> Result<String, SerializeError> {
    Ok(serde_json::to_string(&LocationResponse::of(location)?)?)
}

/// Lists locations
///
/// Sorted by id. Follow `next_cursor` until it is `null`.
#[utoipa::path(
    get,
    path = "/merchant/locations",
    tag = "Merchant",
    security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of locations", body = LocationPage), ListErrors)
)]
pub(crate) async fn list_locations<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<LocationPage>, ApiError> {
    let params: PageQuery = query(&http)?;
    let after = List::Locations.decode(params.cursor.as_deref(), parse_canonical)?.map(LocationId);
    let page = api.use_cases.tenancy.locations.list(&auth.authorization, after, params.limit.0).await;
    reply(page, None, LocationPage::of)
}

/// Returns a location
#[utoipa::path(
    get,
    path = "/merchant/locations/{location_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("location_id" = uuid::Uuid, Path, description = "The location")),
    responses((status = 200, description = "The location", body = LocationResponse), LocationErrors)
)]
pub(crate) async fn show_location<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    auth: AuthorizedFor<S>,
) -> Result<Json<LocationResponse>, ApiError> {
    let (id, about) = location_id(&http)?;
    reply(api.use_cases.tenancy.locations.one(&auth.authorization, id).await, about, LocationResponse::of)
}

/// Updates a location
///
/// A merge patch (RFC 7396). A patch that changes nothing records no event.
#[utoipa::path(
    patch,
    path = "/merchant/locations/{location_id}",
    tag = "Merchant",
    security(("bearer" = [])),
    params(("location_id" = uuid::Uuid, Path, description = "The location")),
    request_body(content(
        (UpdateLocationRequest = "application/merge-patch+json"),
        (UpdateLocationRequest = "application/json"),
    )),
    responses((status = 200, description = "The updated location", body = LocationResponse), UpdateLocationErrors)
)]
pub(crate) async fn update_location<S: Access>(
    api: Data<Api>,
    http: HttpRequest,
    request: AuthThenBody<MergePatch<UpdateLocationRequest>, AuthorizedFor<S>>,
) -> Result<Json<LocationResponse>, ApiError> {
    let AuthThenBody { auth, body: MergePatch(body) } = request;
    let (id, about) = location_id(&http)?;
    let name = body.name.map(|field| field.0);
    let location = api.use_cases.tenancy.locations.update(&auth.authorization, id, name.as_ref()).await;
    reply(location, about, LocationResponse::of)
}
