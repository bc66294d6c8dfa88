//! The routes, a file each: request, answer, handler, and how its failures are told.

mod bootstrap;
mod claim;
mod client_session;
mod docs;
mod health;
mod metrics;
mod pairing_code;
mod session;
mod status;

use std::rc::Rc;

use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{Error, Resource, Route, guard, web};

pub(super) use bootstrap::__path_bootstrap;
pub(super) use claim::__path_claim;
pub(super) use client_session::{__path_auth_token, __path_client_session};
pub(super) use health::{__path_live, __path_ready};
pub(super) use metrics::__path_metrics;
pub(super) use pairing_code::__path_pairing_code;
pub(super) use session::{__path_backchannel_logout, __path_end, __path_initiate};
pub(super) use status::__path_status;

use super::Api;
use super::api_error::{ApiError, Failure};
use super::door::door;
use super::metrics::Metrics;

/// Registers every route, and the answer for what is no route.
pub fn configure(config: &mut web::ServiceConfig, api: &Api) {
    let metrics = &api.metrics;
    let post = |path, route: Route| behind_door(metrics, path, "POST", route.method(Method::POST));
    let get = |path, route: Route| {
        let reads = guard::Any(guard::Get()).or(guard::Head());
        behind_door(metrics, path, "GET, HEAD", route.guard(reads))
    };
    config
        .service(post("/pos/bootstrap", web::route().to(bootstrap::bootstrap)))
        .service(post("/pos/pairing-code", web::route().to(pairing_code::pairing_code)))
        .service(get("/pos/status", web::route().to(status::status)))
        .service(post("/pos/claim", web::route().to(claim::claim)))
        .service(post("/session/initiate", web::route().to(session::initiate)))
        .service(post("/session/end", web::route().to(session::end)))
        .service(post("/session/backchannel-logout", web::route().to(session::backchannel_logout)))
        .service(post("/client/session", web::route().to(client_session::client_session)))
        .service(post("/auth/token", web::route().to(client_session::auth_token)))
        .service(get("/health/live", web::route().to(health::live)))
        .service(get("/health/ready", web::route().to(health::ready)))
        .service(get("/openapi.json", web::route().to(docs::openapi)))
        .service(get("/docs", web::route().to(docs::to_page)))
        .service(get("/docs/{file:.*}", web::route().to(docs::page)))
        .default_service(unknown_route(metrics));
    if api.metrics_enabled {
        config.service(get("/metrics", web::route().to(metrics::metrics)));
    }
}

/// A resource that serves one route, answers 405 with `Allow` to any other method, and has the door before both.
fn behind_door(
    metrics: &Metrics,
    path: &'static str,
    allow: &'static str,
    route: Route,
) -> impl HttpServiceFactory + 'static {
    let counters = Rc::new(metrics.route(path));
    Resource::new(path)
        .route(route)
        .default_service(web::to(move || async move {
            Err::<&str, _>(ApiError::new(Failure::MethodNotAllowed, "Method not allowed").allow(allow))
        }))
        .wrap(from_fn(move |request, next| door(counters.clone(), request, next)))
}

fn unknown_route(
    metrics: &Metrics,
) -> impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()> + 'static
{
    let counters = Rc::new(metrics.route("unknown"));
    web::route()
        .to(|| async { Err::<&str, _>(ApiError::new(Failure::NotFound, "Not found")) })
        .wrap(from_fn(move |request, next| door(counters.clone(), request, next)))
}

/// The documented answer to a terminal nobody knows.
fn unknown_device(id: &pos_domain::DeviceId) -> ApiError {
    ApiError::new(Failure::NotFound, "Device not found").details(serde_json::json!({ "device_id": id.as_str() }))
}
