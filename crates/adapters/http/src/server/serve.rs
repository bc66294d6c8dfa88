//! HTTP server: assembles the actix application of each worker and runs it on a listener.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::HttpService;
use actix_server::Server;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, Error, web};
use tokio::net::TcpStream;

use crate::api;
use crate::limits::concurrency_limit::ConcurrencyLimiters;
use crate::limits::pending_bodies::PendingBodies;
use crate::openapi::docs;
use crate::server::cors;
use crate::server::draining::Draining;
use crate::server::expectation::Expectations;
use crate::server::pre_routing_errors::EnvelopedStream;
use crate::server::request_middleware::BodyLimit;
use crate::server::route_spec::unknown_path;
use crate::state::Api;

/// Options of the HTTP server.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Number of worker threads.
    pub workers: usize,
    /// Maximum open connections of a worker; further ones wait to be accepted.
    pub max_connections: usize,
    /// Time limit for receiving a request head.
    pub client_header_timeout: Duration,
    /// Time after which an idle connection is closed.
    pub keep_alive: Duration,
    /// Time limit for requests in progress during a graceful shutdown.
    pub grace: Duration,
    /// Origins that browsers may call the API from; see [`cors()`](crate::server::cors::cors()).
    pub cors_allowed_origins: Vec<String>,
}

/// Serves the API on a bound listener until the handle of the returned server stops it.
///
/// # Errors
/// If the listener cannot be used.
pub fn serve(listener: TcpListener, api: Api, options: ServeOptions) -> io::Result<Server> {
    let address = listener.local_addr()?;
    let api = web::Data::new(api);
    let entropy = Arc::clone(&api.entropy);
    let builder = Server::build()
        .workers(options.workers)
        .max_concurrent_connections(options.max_connections)
        .shutdown_timeout(options.grace.as_secs())
        .disable_signals();
    let draining = builder.graceful_shutdown_signal();
    let service = move || {
        let origins = &options.cors_allowed_origins;
        let state = api.clone();
        // One set for each worker, which is one thread.
        let limiters = ConcurrencyLimiters::new(state.limits.concurrency, &state.metrics);
        let pending_bodies = PendingBodies::new(state.limits.concurrency.pending_bodies);
        let preflights = Rc::new(state.metrics.route("preflight"));
        let mut with_body = Vec::new();
        let app = App::new()
            .app_data(api.clone())
            .wrap(Condition::new(!origins.is_empty(), cors::cors(origins)))
            .wrap(Condition::new(
                !origins.is_empty(),
                from_fn(move |request, next| cors::cors_envelope(Rc::clone(&preflights), request, next)),
            ))
            .configure(|config| {
                for spec in api::all(state.metrics_enabled).into_iter().chain(docs::all()) {
                    let context = spec.context(&state, &limiters, &pending_bodies);
                    if spec.body_limit() != BodyLimit::None {
                        with_body.push((spec.path(), Rc::clone(&context)));
                    }
                    config.service(spec.into_actix_resource(context));
                }
            })
            .default_service(unknown_path(&state));
        let app =
            map_config(app.into_factory().map_err(|error: Error| error.error_response()), |_| AppConfig::default());
        let expectations = Expectations::new(api.clone(), with_body);
        let (draining, entropy) = (Draining::watch(draining.clone()), entropy.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let draining = Rc::clone(&draining);
                async move { draining.started().await }
            })
            .keep_alive(options.keep_alive)
            .client_request_timeout(options.client_header_timeout)
            .local_addr(address)
            .tcp_nodelay(true)
            .expect(fn_service(move |request| expectations.check(request)))
            .on_connect_ext(|stream: &EnvelopedStream, extensions| {
                extensions.insert(stream.connection());
            })
            .h1(app);
        fn_service(move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let stream = EnvelopedStream::new(stream, entropy.clone());
            async move { Ok((stream, peer)) }
        })
        .and_then(http)
    };
    Ok(builder.listen("api", listener, service)?.run())
}
