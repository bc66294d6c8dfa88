//! The black-box suites. One binary: they link once and run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is tests, their helpers included"
)]

mod end_to_end;
mod fleet;
mod fuzz;
mod http;
mod identity;
mod imports;
mod races;
mod reclaiming;
mod routes;
mod sessions;
mod storage;
