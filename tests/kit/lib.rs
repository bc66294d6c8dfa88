//! Test kit of the black-box suites: databases, stores, servers, identity providers and proxies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test kit that fails must fail the test"
)]

pub mod app;
pub mod balancer;
pub mod issuer;
pub mod keycloak;
pub mod pgbouncer;
pub mod postgres;
mod programs;
pub mod proxy;
pub mod real_server;
pub mod seed;
pub mod server;
pub mod stores;
pub mod users;
