//! Routes: one file per route or resource, with request, response, handler and error conversion.

pub(crate) mod cursor;
pub(crate) mod fleet;
pub(crate) mod operations;
pub(crate) mod pairing;
pub(crate) mod shared;
pub(crate) mod tenancy;

use crate::server::route_spec::RouteSpec;

/// Every route of the API.
pub(crate) fn all(metrics_enabled: bool) -> Vec<RouteSpec> {
    let contexts = [pairing::routes(), tenancy::routes(), fleet::routes(), operations::routes(metrics_enabled)];
    contexts.into_iter().flatten().collect()
}
