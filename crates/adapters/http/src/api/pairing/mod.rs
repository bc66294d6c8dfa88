//! Routes of terminals, and the claim.

pub(crate) mod bootstrap;
pub(crate) mod claim;
pub(crate) mod pairing_code;
pub(crate) mod status;

use actix_web::web;

use crate::server::route_spec::{RouteSpec, route};

/// Routes of terminals, and the claim.
pub(crate) fn routes() -> Vec<RouteSpec> {
    vec![
        route("/pos/bootstrap").post(web::route().to(bootstrap::bootstrap)).for_terminals(),
        route("/pos/pairing-code").post(web::route().to(pairing_code::pairing_code)).for_terminals(),
        route("/pos/status").get(web::route().to(status::status)).for_terminals().with_wait(),
        route("/pos/claim").post(web::route().to(claim::claim)).with_body(),
    ]
}
