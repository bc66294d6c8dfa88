//! Extractor of a validated form body.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpRequest};

use crate::errors::api_error::ApiError;
use crate::errors::table::NOT_A_FORM;
use crate::extract::RequestBody;
use crate::extract::api;
use crate::extract::json::{accept, invalid_body, read, validation_message};

/// Validated form body, for requests whose specification prescribes a form (OpenID Connect back-channel logout).
pub(crate) struct ValidForm<T>(pub(crate) T);

impl<T: RequestBody> FromRequest for ValidForm<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = payload.take();
        Box::pin(async move {
            let api = api(&request)?;
            accept(request.headers(), &["application/x-www-form-urlencoded"], NOT_A_FORM)?;
            let body = read(&request, payload, api.limits.max_body_bytes).await?;
            let text = std::str::from_utf8(&body).map_err(|error| invalid_body(&error.to_string()))?;
            let Query(value) = Query::<T>::from_query(text).map_err(|error| invalid_body(&error.to_string()))?;
            value.validate().map_err(|errors| invalid_body(&validation_message(T::NAME, &errors)))?;
            Ok(Self(value))
        })
    }
}
