//! One path, behind the door.

use std::rc::Rc;
use std::time::Duration;

use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{Error, Resource, Route, guard, web};

use super::Api;
use super::api_error::{ApiError, Failure};
use super::door::door;

/// A path that is posted to.
pub(super) fn post(api: &Api, path: &'static str, route: Route) -> impl HttpServiceFactory + 'static {
    behind_door(api, path, "POST", Duration::ZERO, route.method(Method::POST))
}

/// A path that is read; `HEAD` is `GET` without the body.
pub(super) fn get(api: &Api, path: &'static str, route: Route) -> impl HttpServiceFactory + 'static {
    get_patiently(api, path, Duration::ZERO, route)
}

/// The same, where the answer may be held back for a while.
pub(super) fn get_patiently(
    api: &Api,
    path: &'static str,
    patience: Duration,
    route: Route,
) -> impl HttpServiceFactory + 'static {
    let reads = guard::Any(guard::Get()).or(guard::Head());
    behind_door(api, path, "GET, HEAD", patience, route.guard(reads))
}

/// A resource that serves one route, answers 405 with `Allow` to any other method, and has the door before both.
fn behind_door(
    api: &Api,
    path: &'static str,
    allow: &'static str,
    patience: Duration,
    route: Route,
) -> impl HttpServiceFactory + 'static {
    let counters = Rc::new(api.metrics.route(path));
    Resource::new(path)
        .route(route)
        .default_service(web::to(move || async move {
            Err::<&str, _>(ApiError::new(Failure::MethodNotAllowed, "Method not allowed").allow(allow))
        }))
        .wrap(from_fn(move |request, next| door(counters.clone(), patience, request, next)))
}

/// The answer to every path that is none of ours.
pub(super) fn unknown_path(
    api: &Api,
) -> impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()> + 'static
{
    let counters = Rc::new(api.metrics.route("unknown"));
    web::route()
        .to(|| async { Err::<&str, _>(ApiError::new(Failure::NotFound, "Not found")) })
        .wrap(from_fn(move |request, next| door(counters.clone(), Duration::ZERO, request, next)))
}
