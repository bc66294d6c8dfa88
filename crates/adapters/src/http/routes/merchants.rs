//! A reseller's merchants.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use pos_application::{NoAnswer, Page};
use pos_domain::{Merchant, MerchantId};
use serde::{Deserialize, Serialize};
use time::error::Format;
use utoipa::ToSchema;

use super::super::Api;
use super::super::api_error::ApiError;
use super::super::cursor::{List, exactly};
use super::super::extract::{Authorized, Creating, MergePatch, OfReseller, merchant_id, query};
use super::super::fields::{NameField, not_null};
use super::super::fleet_failures::{AddMerchantErrors, AmendMerchantErrors, MerchantErrors, MerchantListErrors, told};
use super::bootstrap::whole_seconds;
use super::fleet::{IdempotencyParams, PageQuery, created};

/// A merchant that is to be made known.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Corner Shop"}))]
pub(crate) struct AddMerchantRequest {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: NameField,
}

/// What is to be changed of a merchant: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Corner Shop & Sons"}))]
pub(crate) struct AmendMerchantRequest {
    /// What people call it. It cannot be taken away.
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
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    merchant_id: String,
    /// Whose it is.
    #[schema(required = true, value_type = Option<uuid::Uuid>)]
    reseller_id: Option<String>,
    /// What people call it.
    name: String,
    /// When it was made known.
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of merchants.
#[derive(Serialize, ToSchema)]
pub(crate) struct MerchantPage {
    items: Vec<MerchantResponse>,
    /// For `cursor` of the next page; `null` at the end.
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

/// Makes a merchant known
///
/// It is the reseller's from the start. Its id is drawn, and cannot be chosen.
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
    request: Authorized<Creating<AddMerchantRequest>, OfReseller>,
) -> Result<HttpResponse, ApiError> {
    let Authorized { caller: OfReseller(mandate), sent: Creating { body, name } } = request;
    let call = name.map(|name| api.fleet.answers.keyed(name.key, name.fingerprint, answer));
    let merchant = api.fleet.merchants.add(&mandate, &body.name.0, call).await;
    created(merchant.map_err(|error| told(error, None))?, answer)
}

/// A new merchant in the words that its caller is told, and told again.
fn answer(merchant: &Merchant) -> Result<String, NoAnswer> {
    Ok(serde_json::to_string(&MerchantResponse::of(merchant)?)?)
}

/// Lists merchants
///
/// In the order of their ids. Follow `next_cursor` until it is `null`.
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
    caller: OfReseller,
) -> Result<Json<MerchantPage>, ApiError> {
    let wanted: PageQuery = query(&http)?;
    let after = List::Merchants.place(wanted.cursor.as_deref(), exactly)?.map(MerchantId);
    let page = api.fleet.merchants.list(&caller.0, after, wanted.limit.0).await;
    Ok(Json(MerchantPage::of(&page.map_err(|error| told(error, None))?)?))
}

/// Shows a merchant
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
    caller: OfReseller,
) -> Result<Json<MerchantResponse>, ApiError> {
    let (id, about) = merchant_id(&http)?;
    let merchant = api.fleet.merchants.one(&caller.0, id).await.map_err(|error| told(error, about))?;
    Ok(Json(MerchantResponse::of(&merchant)?))
}

/// Gives a merchant another name
///
/// A merge patch (RFC 7396). One that changes nothing leaves no event.
#[utoipa::path(
    patch,
    path = "/reseller/merchants/{merchant_id}",
    tag = "Reseller",
    security(("bearer" = [])),
    params(("merchant_id" = uuid::Uuid, Path, description = "The merchant")),
    request_body(content(
        (AmendMerchantRequest = "application/merge-patch+json"),
        (AmendMerchantRequest = "application/json"),
    )),
    responses((status = 200, description = "The merchant afterwards", body = MerchantResponse), AmendMerchantErrors)
)]
pub(crate) async fn amend_merchant(
    api: Data<Api>,
    http: HttpRequest,
    request: Authorized<MergePatch<AmendMerchantRequest>, OfReseller>,
) -> Result<Json<MerchantResponse>, ApiError> {
    let Authorized { caller: OfReseller(mandate), sent: MergePatch(body) } = request;
    let (id, about) = merchant_id(&http)?;
    let name = body.name.map(|field| field.0);
    let merchant = api.fleet.merchants.amend(&mandate, id, name.as_ref()).await;
    Ok(Json(MerchantResponse::of(&merchant.map_err(|error| told(error, about))?)?))
}
