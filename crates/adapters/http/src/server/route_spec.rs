//! Route specification: a path with its methods, limits and middleware.

use std::rc::Rc;

use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{Error, Resource, Route, guard, web};

use crate::errors::api_error::ApiError;
use crate::errors::table::{METHOD_NOT_ALLOWED, NOT_FOUND};
use crate::limits::concurrency_limit::{ConcurrencyLimiters, TrafficClass};
use crate::limits::pending_bodies::PendingBodies;
use crate::observe::throttled_log::ThrottledLog;
use crate::server::request_middleware::{BodyLimit, RouteContext, TimeoutClass, request_middleware};
use crate::state::Api;

/// A path with the handler of each method and the limits of the route.
pub(crate) struct RouteSpec {
    path: &'static str,
    methods: Vec<(Method, Route)>,
    timeout_class: TimeoutClass,
    class: TrafficClass,
    body_limit: BodyLimit,
}

/// Starts a specification without methods.
pub(crate) fn route(path: &'static str) -> RouteSpec {
    let (timeout_class, class, body_limit) = (TimeoutClass::Usual, TrafficClass::Portal, BodyLimit::None);
    RouteSpec { path, methods: Vec::new(), timeout_class, class, body_limit }
}

impl RouteSpec {
    /// Accepts an import file, with the size and time limits of imports.
    pub(crate) fn with_file(self) -> Self {
        Self { timeout_class: TimeoutClass::Import, class: TrafficClass::Import, body_limit: BodyLimit::Upload, ..self }
    }

    /// Accepts a body on `POST` and `PATCH`.
    pub(crate) fn with_body(self) -> Self {
        Self { body_limit: BodyLimit::Usual, ..self }
    }

    /// Uses the concurrency limit of terminals.
    pub(crate) fn for_terminals(self) -> Self {
        Self { class: TrafficClass::Terminal, ..self }
    }

    /// Uses the concurrency limit of routes that carry credentials in the body.
    pub(crate) fn for_body_authenticated(self) -> Self {
        Self { class: TrafficClass::BodyAuthenticated, ..self }
    }

    /// Uses the concurrency limit of logout notices from the identity provider.
    pub(crate) fn for_logout_notices(self) -> Self {
        Self { class: TrafficClass::LogoutNotice, ..self }
    }

    /// Has no concurrency limit: monitoring must work while the server is overloaded.
    pub(crate) fn for_operations(self) -> Self {
        Self { class: TrafficClass::Operations, ..self }
    }

    /// Allows `Prefer: wait`: the response may be held.
    pub(crate) fn with_wait(self) -> Self {
        Self { timeout_class: TimeoutClass::Wait, ..self }
    }

    /// Adds `GET`, and `HEAD`, which is `GET` without the body.
    pub(crate) fn get(self, route: Route) -> Self {
        let get_or_head = guard::Any(guard::Get()).or(guard::Head());
        self.with(Method::GET, route.guard(get_or_head))
    }

    /// Adds `POST`.
    pub(crate) fn post(self, route: Route) -> Self {
        self.with(Method::POST, route.method(Method::POST))
    }

    /// Adds `PATCH`.
    pub(crate) fn patch(self, route: Route) -> Self {
        self.with(Method::PATCH, route.method(Method::PATCH))
    }

    fn with(mut self, method: Method, route: Route) -> Self {
        self.methods.push((method, route));
        self
    }

    pub(crate) fn body_limit(&self) -> BodyLimit {
        self.body_limit
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the methods without `HEAD`.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().map(|(method, _)| method)
    }

    /// Builds the state of the middleware for this route.
    pub(crate) fn context(
        &self,
        api: &Api,
        limiters: &ConcurrencyLimiters,
        pending_bodies: &Rc<PendingBodies>,
    ) -> Rc<RouteContext> {
        Rc::new(RouteContext {
            counters: api.metrics.route(self.path),
            timeout_class: self.timeout_class,
            limiter: limiters.of(self.class),
            rate_limit_log: ThrottledLog::default(),
            upload_limiter: limiters.uploads_of(self.class),
            body_limit: self.body_limit,
            // The server waits for no body of a terminal.
            pending_bodies: (self.class != TrafficClass::Terminal).then(|| Rc::clone(pending_bodies)),
        })
    }

    /// Converts to an actix resource wrapped in the middleware. Other methods are answered 405 with `Allow`.
    pub(crate) fn into_actix_resource(self, context: Rc<RouteContext>) -> impl HttpServiceFactory + 'static {
        let methods = self.methods().map(|method| if method == Method::GET { "GET, HEAD" } else { method.as_str() });
        let allow = methods.collect::<Vec<_>>().join(", ");
        self.methods
            .into_iter()
            .fold(Resource::new(self.path), |resource, (_, route)| resource.route(route))
            .default_service(web::to(move || {
                let error = ApiError::from(METHOD_NOT_ALLOWED).allow(allow.clone());
                async move { Err::<&str, _>(error) }
            }))
            .wrap(from_fn(move |request, next| request_middleware(context.clone(), request, next)))
    }
}

/// Default service: answers unknown paths with 404.
pub(crate) fn unknown_path(
    api: &Api,
) -> impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()> + 'static
{
    let context = Rc::new(RouteContext {
        counters: api.metrics.route("unknown"),
        timeout_class: TimeoutClass::Usual,
        limiter: None,
        rate_limit_log: ThrottledLog::default(),
        upload_limiter: None,
        body_limit: BodyLimit::None,
        pending_bodies: None,
    });
    web::route()
        .to(|| async { Err::<&str, _>(ApiError::from(NOT_FOUND)) })
        .wrap(from_fn(move |request, next| request_middleware(context.clone(), request, next)))
}
