use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use super::json::{accept, most_bytes, object, read};
use crate::http::api_error::ApiError;

/// A JSON merge patch (RFC 7396): a member that is absent is left as it is, `null` takes it away. A member that cannot be
/// changed is refused by its name, because a patch that is answered 200 must have been applied.
pub(in crate::http) struct MergePatch<T>(pub(in crate::http) T);

impl<T: DeserializeOwned + 'static> FromRequest for MergePatch<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let otherwise = "Content-Type must be application/merge-patch+json or application/json";
            accept(request.headers(), &["application/merge-patch+json", "application/json"], otherwise)?;
            Ok(Self(object(&read(&request, payload, most_bytes(&request)?).await?)?))
        })
    }
}
