//! The HTTP server around the routes: connections, middleware, route table, shutdown.

pub(crate) mod client_ip;
pub(crate) mod connection;
pub(crate) mod cors;
pub(crate) mod draining;
pub(crate) mod expectation;
pub(crate) mod pre_routing_errors;
pub(crate) mod request_middleware;
pub(crate) mod route_spec;
pub(crate) mod serve;
