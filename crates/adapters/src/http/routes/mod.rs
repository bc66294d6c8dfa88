//! The routes, a file each: request, answer, handler, and how its failures are told.

mod bootstrap;
mod claim;
mod health;
mod metrics;
mod pairing_code;
mod status;

use actix_web::web;

pub(super) use bootstrap::__path_bootstrap;
pub(super) use claim::__path_claim;
pub(super) use health::{__path_live, __path_ready};
pub(super) use metrics::__path_metrics;
pub(super) use pairing_code::__path_pairing_code;
pub(super) use status::__path_status;

use super::Api;
use super::resource::{get, post};

/// Registers every route.
pub(super) fn configure(config: &mut web::ServiceConfig, api: &Api) {
    config
        .service(post(api, "/pos/bootstrap", web::route().to(bootstrap::bootstrap)))
        .service(post(api, "/pos/pairing-code", web::route().to(pairing_code::pairing_code)))
        .service(get(api, "/pos/status", web::route().to(status::status)))
        .service(post(api, "/pos/claim", web::route().to(claim::claim)))
        .service(get(api, "/health/live", web::route().to(health::live)))
        .service(get(api, "/health/ready", web::route().to(health::ready)));
    if api.metrics_enabled {
        config.service(get(api, "/metrics", web::route().to(metrics::metrics)));
    }
}
