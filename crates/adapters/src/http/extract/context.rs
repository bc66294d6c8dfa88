use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_domain::CallContext;

use crate::http::call_log;

/// From where a request came and by which trace id: what the door found out, for the audit trail.
pub(in crate::http) struct Context(pub(in crate::http) CallContext);

impl FromRequest for Context {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(call_log::context())))
    }
}
