//! HTTP API: actix-web handlers around the use cases.
//!
//! ```text
//! request ─▶ request_middleware (permit, trace id, span, timeout, catch_unwind) ─▶ extractors ─▶ one use case
//!    ▲                                                                                            │
//!    └── request_middleware (envelope, X-Trace-Id, log, metrics) ◀── response or ApiError ◀───────┘
//! ```
//!
//! Every route is wrapped in one middleware (`request_middleware.rs`), and every error is sent in one envelope. To add a
//! route: a file in `routes/` with its request, response and handler; an entry in `routes/mod.rs` (with `with_body` if it
//! takes a body) and in `openapi.rs`; and an entry for each kind of caller in the table of routes
//! (`tests/suites/routes`). The tests fail if one is missing.

mod api;
mod errors;
mod extract;
#[cfg(test)]
mod fuzz;
mod limits;
mod observe;
mod openapi;
mod server;
mod state;

use actix_web::http::Method;

pub use limits::concurrency_limit::ConcurrencyLimits;
pub use limits::rate_limiter::{Rate, RateLimiter, RateLimits};
pub use observe::call_log::CallSpans;
pub use observe::metrics::{Metrics, PurgeRunEnd};
pub use openapi::document::openapi_json;
pub use server::client_ip::TrustedProxies;
pub use server::cors::cors;
pub use server::serve::{ServeOptions, serve};
pub use state::{Api, Drain, Limits};

/// Returns every method and path of the API, without `HEAD` and `OPTIONS`. Tests compare it with their table of routes.
#[must_use]
pub fn served_routes() -> Vec<(Method, &'static str)> {
    let all = api::all(true).into_iter().chain(openapi::docs::all());
    all.flat_map(|spec| spec.methods().map(|method| (method.clone(), spec.path())).collect::<Vec<_>>()).collect()
}
