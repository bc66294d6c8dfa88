//! Extractor that checks the credentials before it reads the body.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::errors::api_error::ApiError;
use crate::extract::Merchant;

/// Authenticated caller and body. The credentials are checked before the body is parsed, so that an unauthenticated caller
/// learns nothing about the body's format (contract, section 3: 401 before 400).
pub(crate) struct AuthThenBody<T, C = Merchant> {
    pub(crate) auth: C,
    pub(crate) body: T,
}

impl<T, C> FromRequest for AuthThenBody<T, C>
where
    T: FromRequest<Error = ApiError> + 'static,
    C: FromRequest<Error = ApiError> + 'static,
{
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let auth = C::extract(&request).await?;
            let body = T::from_request(&request, &mut payload).await?;
            Ok(Self { auth, body })
        })
    }
}
