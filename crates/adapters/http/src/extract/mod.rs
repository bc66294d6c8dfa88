//! Extractors: from requests to typed values or an [`ApiError`].

mod authorization;
mod authorized;
mod caller;
mod context;
mod create;
pub(crate) mod fields;
mod form;
mod header;
mod json;
mod merchant;
mod patch;
mod path;
mod prefer;
mod query;
mod terminal;

use actix_web::{HttpRequest, web};

use crate::errors::api_error::ApiError;
use crate::state::Api;

pub(crate) use authorization::{Access, AuthorizedFor, MerchantSelf, ResellerAuth, ResellerManaged};
pub(crate) use authorized::AuthThenBody;
pub(crate) use caller::Authenticated;
pub(crate) use context::Context;
pub(crate) use create::{IdempotencyHeader, IdempotentJson, KEY as IDEMPOTENCY_KEY, key as idempotency_key};
pub(crate) use form::ValidForm;
pub(crate) use json::{Body, RequestBody, ValidJson, content_type, invalid_body, validated, without_coding};
pub(crate) use merchant::Merchant;
pub(crate) use patch::MergePatch;
pub(crate) use path::{device_id, location_id, merchant_id};
pub(crate) use prefer::{PREFER, Prefer};
pub(crate) use query::{invalid_query, query};
pub(crate) use terminal::{CodeRequest, Terminal};

/// Returns the application state by reference. A `Data` argument would clone an `Arc` whose count all workers share.
pub(crate) fn api(request: &HttpRequest) -> Result<&Api, ApiError> {
    let api = request.app_data::<web::Data<Api>>();
    api.map(|api| &***api).ok_or_else(|| ApiError::internal("the API state is missing"))
}
