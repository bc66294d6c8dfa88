//! The black-box suites, in one binary that links once and runs them concurrently.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests and their helpers"
)]

mod end_to_end;
mod fleet;
mod fuzz;
mod http;
mod identity;
mod imports;
mod races;
mod retention;
mod routes;
mod sessions;
mod storage;
