//! Handler of `Expect: 100-continue` (RFC 9110, section 10.1.1): rejects a body that is declared too large instead of sending
//! `100 Continue`.
//!
//! The HTTP library calls this service before it routes the request, so the rejection is built here, with the usual envelope.

use std::future::{Ready, ready};
use std::rc::Rc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{ResourceDef, Response};
use actix_web::web::Data;
use actix_web::{HttpMessage as _, ResponseError as _};

use crate::errors::api_error::ApiError;
use crate::errors::envelope;
use crate::observe::trace_id;
use crate::server::connection::Connection;
use crate::server::request_middleware::{RouteContext, set_common_headers};
use crate::state::Api;

/// The routes that take a body.
#[derive(Clone)]
pub(crate) struct Expectations {
    api: Data<Api>,
    routes: Rc<[(ResourceDef, Rc<RouteContext>)]>,
}

impl Expectations {
    pub(crate) fn new(api: Data<Api>, routes: impl IntoIterator<Item = (&'static str, Rc<RouteContext>)>) -> Self {
        let routes = routes.into_iter().map(|(path, context)| (ResourceDef::new(path), context));
        Self { api, routes: routes.collect() }
    }

    /// Returns the request if the client may send the body, else the response.
    pub(crate) fn check(&self, request: Request) -> Ready<Result<Request, Response<BoxBody>>> {
        let route = self.routes.iter().find(|(path, _)| path.is_match(request.path()));
        let checked = route.map_or(Ok(()), |(_, context)| {
            let limit = context.body_limit.check(request.method(), request.headers(), &self.api.limits);
            limit.map_err(|error| self.reject(&request, context, &error))
        });
        ready(checked.map(|()| request))
    }

    fn reject(&self, request: &Request, context: &RouteContext, error: &ApiError) -> Response<BoxBody> {
        let trace_id = trace_id::of_request(request.headers(), &*self.api.entropy);
        let (mut response, _) = envelope::wrap(error.error_response(), trace_id, &*self.api.entropy);
        set_common_headers(&mut response, trace_id, &self.api);
        let (status, code, route) = (response.status(), error.parts().code.code(), context.counters.path());
        let method = request.method().as_str();
        tracing::info!(%trace_id, method, route, status = status.as_u16(), code, "rejected before its body was read");
        context.counters.count(request.method(), status);
        if let Some(connection) = request.conn_data::<Rc<Connection>>() {
            connection.drain_on_close();
        }
        response.into()
    }
}
