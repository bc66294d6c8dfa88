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

use super::below_router::EnvelopedStream;
use super::door::BodyLimit;
use super::draining::Draining;
use super::expectation::Expectations;
use super::pending_bodies::PendingBodies;
use super::resource::unknown_path;
use super::room::Rooms;
use super::{Api, cors, docs, routes};

/// How to listen.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Threads that answer requests.
    pub workers: usize,
    /// Connections that one of them holds at once; more wait to be accepted.
    pub max_connections: usize,
    /// How long a caller may take to send a request's head.
    pub client_header_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long requests under way may take when the server is told to stop.
    pub grace: Duration,
    /// Web pages that may call the API; see [`cors()`](super::cors()).
    pub cors_allowed_origins: Vec<String>,
}

/// Serves the API on a bound listener until the answered server's handle is told to stop.
///
/// # Errors
/// When the listener cannot be used.
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
        let wired = api.clone();
        // Once for each worker, which is one thread.
        let rooms = Rooms::new(wired.limits.places, &wired.metrics);
        let bodies = PendingBodies::new(wired.limits.places.pending_bodies);
        let preflights = Rc::new(wired.metrics.route("preflight"));
        let mut with_body = Vec::new();
        let app = App::new()
            .app_data(api.clone())
            .wrap(Condition::new(!origins.is_empty(), cors::cors(origins)))
            .wrap(Condition::new(
                !origins.is_empty(),
                from_fn(move |request, next| cors::sealed_cors(Rc::clone(&preflights), request, next)),
            ))
            .configure(|config| {
                for served in routes::all(wired.metrics_enabled).into_iter().chain(docs::all()) {
                    let doorway = served.doorway(&wired, &rooms, &bodies);
                    if served.body_limit() != BodyLimit::None {
                        with_body.push((served.path(), Rc::clone(&doorway)));
                    }
                    config.service(served.behind_door(doorway));
                }
            })
            .default_service(unknown_path(&wired));
        let app =
            map_config(app.into_factory().map_err(|error: Error| error.error_response()), |_| AppConfig::default());
        let expectations = Expectations::new(api.clone(), with_body);
        let (draining, entropy) = (Draining::hear(draining.clone()), entropy.clone());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let draining = Rc::clone(&draining);
                async move { draining.begun().await }
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
