//! Extractor of a JSON merge patch.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::errors::api_error::ApiError;
use crate::errors::table::NOT_A_MERGE_PATCH;
use crate::extract::json::{accept, max_body_bytes, object, read};

/// JSON merge patch (RFC 7396): an absent member is unchanged, `null` removes the value. A member that cannot be changed is
/// rejected by name: a patch that is answered 200 must have been applied completely.
pub(crate) struct MergePatch<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for MergePatch<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let accepted = ["application/merge-patch+json", "application/json"];
            accept(request.headers(), &accepted, NOT_A_MERGE_PATCH)?;
            Ok(Self(object(&read(&request, payload, max_body_bytes(&request)?).await?)?))
        })
    }
}
