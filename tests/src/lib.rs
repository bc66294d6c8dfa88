//! What the black-box suites stand on: databases of their own, and stores opened on them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness that cannot do its work must fail the test loudly"
)]

pub mod balancer;
pub mod issuer;
pub mod keycloak;
pub mod people;
pub mod pgbouncer;
pub mod population;
pub mod postgres;
mod programs;
pub mod proxy;
pub mod real_server;
pub mod server;
pub mod stores;
