//! Routes of operators: health and metrics.

pub(crate) mod health;
pub(crate) mod metrics;

use actix_web::web;

use crate::server::route_spec::{RouteSpec, route};

/// Health routes, and `/metrics` if it is enabled.
pub(crate) fn routes(metrics_enabled: bool) -> Vec<RouteSpec> {
    let mut routes = vec![
        route("/health/live").get(web::route().to(health::live)).for_operations(),
        route("/health/ready").get(web::route().to(health::ready)).for_operations(),
    ];
    if metrics_enabled {
        routes.push(route("/metrics").get(web::route().to(metrics::metrics)).for_operations());
    }
    routes
}
