//! From a request to typed values, or to a typed failure.

mod authorized;
mod caller;
mod context;
mod create;
mod form;
mod header;
mod json;
mod mandate;
mod merchant;
mod patch;
mod path;
mod prefer;
mod query;
mod terminal;

use actix_web::{HttpRequest, web};

use super::Api;
use super::api_error::ApiError;

pub(super) use authorized::Authorized;
pub(super) use caller::Caller;
pub(super) use context::Context;
pub(super) use create::{Creating, key as idempotency_key};
pub(super) use form::ValidForm;
pub(super) use json::{Body, RequestBody, ValidJson, content_type, unsupported, validated, without_coding};
pub(super) use mandate::{Mandated, OfReseller, Own, Parent, Side};
pub(super) use merchant::Merchant;
pub(super) use patch::MergePatch;
pub(super) use path::{device_id, location_id, merchant_id};
pub(super) use prefer::{PREFER, Prefer};
pub(super) use query::{invalid_query, query};
pub(super) use terminal::{CodeRequest, Terminal};

/// What the handlers reach. Lent, where `Data` as an argument is a count that all workers share.
pub(super) fn api(request: &HttpRequest) -> Result<&Api, ApiError> {
    let api = request.app_data::<web::Data<Api>>();
    api.map(|api| &***api).ok_or_else(|| ApiError::internal("the API is not wired"))
}
