//! Merchant routes of resellers.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::support::{Page, SerializeError};
use pos_domain::shared::MerchantId;
use pos_domain::tenancy::Merchant;
use serde::{Deserialize, Serialize};
use time::error::Format;
use utoipa::ToSchema;

use crate::api::cursor::{List, parse_canonical};
use crate::api::shared::whole_seconds;
use crate::api::shared::{IdempotencyParams, PageQuery, encoded, encoder, reply};
use crate::errors::api_error::ApiError;
use crate::errors::back_office::{
    AddMerchantErrors, MerchantErrors, MerchantListErrors, UpdateMerchantErrors, to_api_error,
};
use crate::extract::fields::{NameField, not_null};
use crate::extract::{AuthThenBody, IdempotentJson, MergePatch, ResellerAuth, merchant_id, query};
use crate::state::Api;

/// A merchant to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Corner Shop"}))]
pub(crate) struct AddMerchantRequest {
    /// Display name.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NameField,
}

/// Changes to a merchant: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Corner Shop & Sons"}))]
pub(crate) struct UpdateMerchantRequest {
    /// Display name. It cannot be removed.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required = false, nullable = false, value_type = String, min_length = 1, max_length = 200)]
    name: Option<NameField>,
}

/// A merchant.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "merchant_id": "0b8f4d2e-7c1a-4e55-9d0f-2a6b1c3d4e5f", "reseller_id": "5a1d7c60-1f0e-4c55-8b1e-9f1f6a1f2b3c",
    "name": "Corner Shop", "created_at": "2025-12-12T09:00:00Z",
}))]
pub(crate) struct MerchantResponse {
    /// Id of the merchant.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// Reseller of the merchant.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    reseller_id: Option<String>,
    /// Display name.
    name: String,
    /// Time of creation.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of merchants.
#[derive(Serialize, ToSchema)]
pub(crate) struct MerchantPage {
    items: Vec<MerchantResponse>,
    /// `cursor` of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

impl MerchantResponse {
    fn of(merchant: &Merchant) -> Result<Self, Format> {
        Ok(Self {
            merchant_id: merchant.id.to_string(),
            reseller_id: merchant.reseller.map(|id| id.to_string()),
            name: merchant.name.to_string(),
            created_at: whole_seconds(merchant.created_at)?,
        })
    }
}

impl MerchantPage {
    fn of(page: &Page<Merchant>) -> Result<Self, Format> {
        let items = page.items.iter().map(MerchantResponse::of).collect::<Result<Vec<_>, _>>()?;
        let last = page.items.last().filter(|_| page.more);
        Ok(Self { items, next_cursor: last.map(|merchant| List::Merchants.after(merchant.id)) })
    }
}

/// Creates a merchant
///
/// The merchant belongs to the calling reseller. Its id is generated.
#[utoipa::path(
    post,
    path = "/reseller/merchants",
    tag = "Reseller",
    security(("bearer" = [])),
    params(IdempotencyParams),
    request_body = AddMerchantRequest,
    responses((status = 201, description = "The new merchant", body = MerchantResponse), AddMerchantErrors)
)]
pub(crate) async fn add_merchant(
    api: Data<Api>,
    request: AuthThenBody<IdempotentJson<AddMerchantRequest>, ResellerAuth>,
) -> Result<HttpResponse, ApiError> {
    let AuthThenBody { auth: ResellerAuth(authorization), body: IdempotentJson { body, idempotency } } = request;
    let encoder = encoder(&api, idempotency, to_json);
    let merchant = api.use_cases.tenancy.merchants.add_encoded(&authorization, &body.name.0, encoder).await;
    Ok(encoded(HttpResponse::Created(), merchant.map_err(|error| to_api_error(error, None))?))
}

/// Serializes a new merchant. The result is sent, and stored for replay.
fn to_json(merchant: &Merchant) -> Result<String, SerializeError> {
    Ok(serde_json::to_string(&MerchantResponse::of(merchant)?)?)
}

/// Lists merchants
///
/// Sorted by id. Follow `next_cursor` until it is `null`.
#[utoipa::path(
    get,
    path = "/reseller/merchants",
    tag = "Reseller",
    security(("bearer" = [])),
    params(PageQuery),
    responses((status = 200, description = "A page of merchants", body = MerchantPage), MerchantListErrors)
)]
pub(crate) async fn list_merchants(
    api: Data<Api>,
    http: HttpRequest,
    auth: ResellerAuth,
) -> Result<Json<MerchantPage>, ApiError> {
    let params: PageQuery = query(&http)?;
    let after = List::Merchants.decode(params.cursor.as_deref(), parse_canonical)?.map(MerchantId);
    let page = api.use_cases.tenancy.merchants.list(&auth.0, after, params.limit.0).await;
    reply(page, None, MerchantPage::of)
}

/// Returns a merchant
#[utoipa::path(
    get,
    path = "/reseller/merchants/{merchant_id}",
    tag = "Reseller",
    security(("bearer" = [])),
    params(("merchant_id" = uuid::Uuid, Path, description = "The merchant")),
    responses((status = 200, description = "The merchant", body = MerchantResponse), MerchantErrors)
)]
pub(crate) async fn show_merchant(
    api: Data<Api>,
    http: HttpRequest,
    auth: ResellerAuth,
) -> Result<Json<MerchantResponse>, ApiError> {
    let (id, about) = merchant_id(&http)?;
    reply(api.use_cases.tenancy.merchants.one(&auth.0, id).await, about, MerchantResponse::of)
}

/// Updates a merchant
///
/// A merge patch (RFC 7396). A patch that changes nothing records no event.
#[utoipa::path(
    patch,
    path = "/reseller/merchants/{merchant_id}",
    tag = "Reseller",
    security(("bearer" = [])),
    params(("merchant_id" = uuid::Uuid, Path, description = "The merchant")),
    request_body(content(
        (UpdateMerchantRequest = "application/merge-patch+json"),
        (UpdateMerchantRequest = "application/json"),
    )),
    responses((status = 200, description = "The updated merchant", body = MerchantResponse), UpdateMerchantErrors)
)]
pub(crate) async fn update_merchant(
    api: Data<Api>,
    http: HttpRequest,
    request: AuthThenBody<MergePatch<UpdateMerchantRequest>, ResellerAuth>,
) -> Result<Json<MerchantResponse>, ApiError> {
    let AuthThenBody { auth: ResellerAuth(authorization), body: MergePatch(body) } = request;
    let (id, about) = merchant_id(&http)?;
    let name = body.name.map(|field| field.0);
    let merchant = api.use_cases.tenancy.merchants.update(&authorization, id, name.as_ref()).await;
    reply(merchant, about, MerchantResponse::of)
}
