//! The routes, a file each: request, answer, handler, and how its failures are told.

mod bootstrap;
mod claim;
mod client_session;
mod health;
mod metrics;
mod pairing_code;
mod session;
mod status;

use actix_web::web;

pub(super) use bootstrap::__path_bootstrap;
pub(super) use claim::__path_claim;
pub(super) use client_session::{__path_auth_token, __path_client_session};
pub(super) use health::{__path_live, __path_ready};
pub(super) use metrics::__path_metrics;
pub(super) use pairing_code::__path_pairing_code;
pub(super) use session::{__path_backchannel_logout, __path_end, __path_initiate};
pub(super) use status::__path_status;

use super::Api;
use super::resource::{get, get_patiently, post};

/// Registers every route.
pub(super) fn configure(config: &mut web::ServiceConfig, api: &Api) {
    config
        .service(post(api, "/pos/bootstrap", web::route().to(bootstrap::bootstrap)))
        .service(post(api, "/pos/pairing-code", web::route().to(pairing_code::pairing_code)))
        .service(get_patiently(api, "/pos/status", api.limits.max_wait, web::route().to(status::status)))
        .service(post(api, "/pos/claim", web::route().to(claim::claim)))
        .service(post(api, "/session/initiate", web::route().to(session::initiate)))
        .service(post(api, "/session/end", web::route().to(session::end)))
        .service(post(api, "/session/backchannel-logout", web::route().to(session::backchannel_logout)))
        .service(post(api, "/client/session", web::route().to(client_session::client_session)))
        .service(post(api, "/auth/token", web::route().to(client_session::auth_token)))
        .service(get(api, "/health/live", web::route().to(health::live)))
        .service(get(api, "/health/ready", web::route().to(health::ready)));
    if api.metrics_enabled {
        config.service(get(api, "/metrics", web::route().to(metrics::metrics)));
    }
}
