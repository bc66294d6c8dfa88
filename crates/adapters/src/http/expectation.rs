//! `Expect: 100-continue` (RFC 9110, section 10.1.1): a body that is declared too large is refused in place of `100 Continue`.
//!
//! The HTTP library asks this service before it routes the request, so the refusal is made here, in the form of all others.

use std::future::{Ready, ready};
use std::rc::Rc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{ResourceDef, Response};
use actix_web::web::Data;
use actix_web::{HttpMessage as _, ResponseError as _};

use super::api_error::ApiError;
use super::connection::Connection;
use super::door::{Doorway, stamp};
use super::{Api, envelope, trace_id};

/// The routes that take a body.
#[derive(Clone)]
pub(super) struct Expectations {
    api: Data<Api>,
    routes: Rc<[(ResourceDef, Rc<Doorway>)]>,
}

impl Expectations {
    pub(super) fn new(api: Data<Api>, routes: impl IntoIterator<Item = (&'static str, Rc<Doorway>)>) -> Self {
        let routes = routes.into_iter().map(|(path, doorway)| (ResourceDef::new(path), doorway));
        Self { api, routes: routes.collect() }
    }

    /// The request, whose body may come; or the answer.
    pub(super) fn check(&self, request: Request) -> Ready<Result<Request, Response<BoxBody>>> {
        let route = self.routes.iter().find(|(path, _)| path.is_match(request.path()));
        let checked = route.map_or(Ok(()), |(_, doorway)| {
            let limit = doorway.body_limit.check(request.method(), request.headers(), &self.api.limits);
            limit.map_err(|error| self.refuse(&request, doorway, &error))
        });
        ready(checked.map(|()| request))
    }

    fn refuse(&self, request: &Request, doorway: &Doorway, error: &ApiError) -> Response<BoxBody> {
        let trace_id = trace_id::of_request(request.headers(), &*self.api.entropy);
        let (mut response, _) = envelope::seal(error.error_response(), trace_id, &*self.api.entropy);
        stamp(&mut response, trace_id, &self.api);
        let (status, code, route) = (response.status(), error.parts().failure.code(), doorway.counters.path());
        let method = request.method().as_str();
        tracing::info!(%trace_id, method, route, status = status.as_u16(), code, "refused before its body");
        doorway.counters.count(request.method(), status);
        if let Some(connection) = request.conn_data::<Rc<Connection>>() {
            connection.drain_on_close();
        }
        response.into()
    }
}
