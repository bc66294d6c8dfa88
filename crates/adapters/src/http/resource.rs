//! One path, behind the door.

use std::rc::Rc;

use actix_web::dev::{HttpServiceFactory, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{Error, Resource, Route, guard, web};

use super::Api;
use super::api_error::{ApiError, Failure};
use super::door::{BodyLimit, Doorway, Patience, door};
use super::pending_bodies::PendingBodies;
use super::room::{Party, Rooms};
use super::throttled_log::ThrottledLog;

/// A path with what is done there by each method.
pub(super) struct Served {
    path: &'static str,
    methods: Vec<(Method, Route)>,
    patience: Patience,
    party: Party,
    body_limit: BodyLimit,
}

/// A path at which nothing is done yet.
pub(super) fn at(path: &'static str) -> Served {
    let (patience, party, body_limit) = (Patience::Usual, Party::Portals, BodyLimit::None);
    Served { path, methods: Vec::new(), patience, party, body_limit }
}

impl Served {
    /// It takes a file, and as long as an import may.
    pub(super) fn with_file(self) -> Self {
        Self { patience: Patience::Import, party: Party::Imports, body_limit: BodyLimit::Upload, ..self }
    }

    /// Some of its methods take a body.
    pub(super) fn with_body(self) -> Self {
        Self { body_limit: BodyLimit::Usual, ..self }
    }

    /// Terminals call it.
    pub(super) fn for_terminals(self) -> Self {
        Self { party: Party::Terminals, ..self }
    }

    /// Whoever calls says only in the body who that is.
    pub(super) fn for_strangers(self) -> Self {
        Self { party: Party::Strangers, ..self }
    }

    /// The identity provider tells of logouts here.
    pub(super) fn for_logout_notices(self) -> Self {
        Self { party: Party::LogoutNotices, ..self }
    }

    /// Those who run the server call it, however busy it is.
    pub(super) fn for_operators(self) -> Self {
        Self { party: Party::Operators, ..self }
    }

    /// Its answer may be held back for as long as the caller prefers.
    pub(super) fn with_wait(self) -> Self {
        Self { patience: Patience::Wait, ..self }
    }

    /// It may be read; `HEAD` is `GET` without the body.
    pub(super) fn get(self, route: Route) -> Self {
        let reads = guard::Any(guard::Get()).or(guard::Head());
        self.with(Method::GET, route.guard(reads))
    }

    /// It may be posted to.
    pub(super) fn post(self, route: Route) -> Self {
        self.with(Method::POST, route.method(Method::POST))
    }

    /// It may be changed in part.
    pub(super) fn patch(self, route: Route) -> Self {
        self.with(Method::PATCH, route.method(Method::PATCH))
    }

    fn with(mut self, method: Method, route: Route) -> Self {
        self.methods.push((method, route));
        self
    }

    /// The bodies that it takes.
    pub(super) fn body_limit(&self) -> BodyLimit {
        self.body_limit
    }

    /// The path.
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    /// Its methods, `HEAD` aside.
    pub(super) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter().map(|(method, _)| method)
    }

    /// What the door knows of it.
    pub(super) fn doorway(&self, api: &Api, rooms: &Rooms, bodies: &Rc<PendingBodies>) -> Rc<Doorway> {
        Rc::new(Doorway {
            counters: api.metrics.route(self.path),
            patience: self.patience,
            room: rooms.of(self.party),
            rate_limit_log: ThrottledLog::default(),
            uploads: rooms.uploads_of(self.party),
            body_limit: self.body_limit,
            // Terminals send no bodies that are waited for.
            bodies: (self.party != Party::Terminals).then(|| Rc::clone(bodies)),
        })
    }

    /// A resource that serves these methods, answers 405 with `Allow` to any other, and has the door before them all.
    pub(super) fn behind_door(self, doorway: Rc<Doorway>) -> impl HttpServiceFactory + 'static {
        let words = self.methods().map(|method| if method == Method::GET { "GET, HEAD" } else { method.as_str() });
        let allow = words.collect::<Vec<_>>().join(", ");
        self.methods
            .into_iter()
            .fold(Resource::new(self.path), |resource, (_, route)| resource.route(route))
            .default_service(web::to(move || {
                let refused = ApiError::new(Failure::MethodNotAllowed, "Method not allowed").allow(allow.clone());
                async move { Err::<&str, _>(refused) }
            }))
            .wrap(from_fn(move |request, next| door(doorway.clone(), request, next)))
    }
}

/// The answer to every path that is none of ours.
pub(super) fn unknown_path(
    api: &Api,
) -> impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()> + 'static
{
    let doorway = Rc::new(Doorway {
        counters: api.metrics.route("unknown"),
        patience: Patience::Usual,
        room: None,
        rate_limit_log: ThrottledLog::default(),
        uploads: None,
        body_limit: BodyLimit::None,
        bodies: None,
    });
    web::route()
        .to(|| async { Err::<&str, _>(ApiError::new(Failure::NotFound, "Not found")) })
        .wrap(from_fn(move |request, next| door(doorway.clone(), request, next)))
}
