//! Extractor of the request context.

use std::convert::Infallible;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use pos_domain::shared::RequestContext;

use crate::observe::call_log;

/// Client address and trace id of the request, for the audit trail. The middleware determines them.
pub(crate) struct Context(pub(crate) RequestContext);

impl FromRequest for Context {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(call_log::context())))
    }
}
