//! The server put together: settings, telemetry, storage, identity, use cases, HTTP, and the command line around them.
//!
//! The binary is a few lines over [`commands::run`]. A test that wants a whole server in its own process, with its own
//! clock or store, builds [`wiring::Parts`] and calls [`http_server::HttpServer::start`].

// Both panic when nobody reads them: see `output.rs`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bind_error;
pub mod cli;
pub mod commands;
pub mod http_server;
mod log_writer;
pub mod output;
mod reclaiming;
mod sealing;
pub mod settings;
pub mod telemetry;
pub mod wiring;

/// A call makes dozens of small allocations that do not outlive it (docs/decisions/0034-what-a-poll-costs.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
