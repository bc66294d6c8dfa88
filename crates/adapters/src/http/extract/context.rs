use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use pos_domain::CallContext;

/// From where a request came and by which trace id: what the door found out, for the audit trail.
pub(in crate::http) struct Context(pub(in crate::http) CallContext);

impl Context {
    pub(super) fn of(request: &HttpRequest) -> CallContext {
        request.extensions().get::<CallContext>().copied().unwrap_or_default()
    }
}

impl FromRequest for Context {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Self::of(request))))
    }
}
