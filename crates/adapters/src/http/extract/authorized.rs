use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use super::Merchant;
use crate::http::api_error::ApiError;

/// What a caller sent. The credentials are judged before the body is looked at, so that a caller nobody knows learns
/// nothing of what a body should be (contract, section 3: 401 before 400).
pub(in crate::http) struct Authorized<T, C = Merchant> {
    pub(in crate::http) caller: C,
    pub(in crate::http) sent: T,
}

impl<T, C> FromRequest for Authorized<T, C>
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
            let caller = C::extract(&request).await?;
            let sent = T::from_request(&request, &mut payload).await?;
            Ok(Self { caller, sent })
        })
    }
}
