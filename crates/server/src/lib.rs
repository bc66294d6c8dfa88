//! Composition root: settings, telemetry, storage, identity, use cases, HTTP and the command line.
//!
//! The binary only calls [`commands::run`]. A test that needs a whole server in its own process, with its own clock or
//! storage, builds [`wiring::Dependencies`] and calls [`http_server::HttpServer::start`].

// Both panic if the stream is closed: see `output.rs`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod bind_error;
mod checkpoint_job;
pub mod cli;
pub mod commands;
pub mod http_server;
mod log_writer;
pub mod output;
mod retention;
pub mod settings;
pub mod telemetry;
pub mod wiring;

/// A request makes dozens of small, short-lived allocations (docs/decisions/0034-status-poll-cost.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
