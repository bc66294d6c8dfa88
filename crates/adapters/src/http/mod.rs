//! HTTP: actix handlers around the use cases.
//!
//! ```text
//! request ─▶ door (a place, trace id, span, time limit, panic net) ─▶ extractors (typed values) ─▶ one use case
//!    ▲                                                                                        │
//!    └── door (envelope, X-Trace-Id, log, metrics) ◀── response or ApiError ◀─────────────────┘
//! ```
//!
//! Every route goes through one door (`door.rs`), every failure leaves as one envelope. To add a route: a file in `routes/`
//! with its request, answer and handler, a line in `routes/mod.rs` (with `with_body` if it takes a body) and in `openapi.rs`, and
//! a line for each caller in the table of routes (`tests/tests/suites/routes`), without which the tests fail.

mod admission;
mod api_error;
mod below_router;
mod call_log;
mod connection;
mod cors;
mod cursor;
mod described;
mod docs;
mod door;
mod draining;
mod envelope;
mod expectation;
mod extract;
mod fields;
mod fleet_failures;
#[cfg(test)]
mod fuzz;
mod links;
mod metrics;
mod openapi;
mod origin;
mod pacing;
mod pending_bodies;
mod resource;
mod room;
mod routes;
mod serve;
mod session_failures;
mod throttled_log;
mod trace_id;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::Method;
use pos_application::{
    AmendDevice, Answers, Bootstrap, CheckStatus, ClaimDevice, CloseSession, CurrentSession, DecommissionDevice,
    ImportDevices, InitiateSession, IssuePairingCode, ManageLocations, ManageMerchants, MoveDevice, ProvisionDevices,
    ReleaseDevice, StartClientSession, ViewDevices,
};
use pos_port_clock::{Clock, Entropy};
use pos_port_identity::TokenVerifier;
use pos_port_storage::StorageHealth;
use tokio::sync::Notify;

use crate::storage::PoolMonitor;

pub use call_log::CallSpans;
pub use cors::cors;
pub use metrics::{Metrics, ReclaimRoundEnd};
pub use openapi::openapi_json;
pub use origin::TrustedProxies;
pub use pacing::{Pace, Pacing, Rate};
pub use room::Places;
pub use serve::{ServeOptions, serve};

/// All that the handlers reach: use cases and a few ports, never a store.
pub struct Api {
    /// `POST /pos/bootstrap`.
    pub bootstrap: Bootstrap,
    /// `POST /pos/pairing-code`.
    pub issue_pairing_code: IssuePairingCode,
    /// `GET /pos/status`.
    pub check_status: CheckStatus,
    /// `POST /pos/claim`.
    pub claim_device: ClaimDevice,
    /// Sessions: the routes under `/session`, and what every merchant's call asks.
    pub sessions: SessionUseCases,
    /// Devices, locations and merchants: the routes under `/merchant` and `/reseller`.
    pub fleet: FleetUseCases,
    /// `POST /reseller/devices/import`.
    pub import: ImportDevices,
    /// Who a bearer token speaks for.
    pub verifier: Arc<dyn TokenVerifier>,
    /// For what an answer says of this moment.
    pub clock: Arc<dyn Clock>,
    /// For trace ids.
    pub entropy: Arc<dyn Entropy>,
    /// How fast terminals may call.
    pub pacing: Arc<Pacing>,
    /// Whose word on a caller's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// For `/health/ready`.
    pub storage: Arc<dyn StorageHealth>,
    /// The state of the store's connections, for `/metrics`.
    pub pool: Arc<dyn PoolMonitor>,
    /// What `/metrics` tells.
    pub metrics: Metrics,
    /// Bounds on what a caller may send and how long it may take.
    pub limits: Limits,
    /// Whether the log's span of a call is made only when a line is written.
    pub lazy_spans: bool,
    /// Whether `/metrics` is a route.
    pub metrics_enabled: bool,
    /// Whether the server is stopping.
    pub drain: Drain,
}

/// What is done with sessions.
pub struct SessionUseCases {
    /// `POST /session/initiate`.
    pub initiate: InitiateSession,
    /// `POST /client/session`, `POST /auth/token`.
    pub client: StartClientSession,
    /// Before every merchant's call.
    pub current: CurrentSession,
    /// `POST /session/end`, `POST /session/backchannel-logout`.
    pub close: CloseSession,
}

/// What merchants and resellers do with what is theirs.
pub struct FleetUseCases {
    /// What creating calls with an `Idempotency-Key` were told.
    pub answers: Answers,
    /// `POST …/devices`.
    pub provision: ProvisionDevices,
    /// `GET …/devices`, `…/devices/{device_id}` and its events.
    pub view: ViewDevices,
    /// `PATCH …/devices/{device_id}`.
    pub amend: AmendDevice,
    /// `POST …/release`.
    pub release: ReleaseDevice,
    /// `POST …/decommission`.
    pub decommission: DecommissionDevice,
    /// `POST …/move`.
    pub relocate: MoveDevice,
    /// `…/locations`.
    pub locations: ManageLocations,
    /// `/reseller/merchants`, and whose merchant a call is about.
    pub merchants: ManageMerchants,
}

/// Bounds on one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body; more is 413/4013.
    pub max_body_bytes: usize,
    /// Bytes of a file that is imported; more is 413/4013.
    pub max_upload_bytes: u64,
    /// Bytes of all header names and values together; more is 400/4000.
    pub max_header_bytes: usize,
    /// From the end of the head to the answer; longer is 503/5003, or 400/4000 while the body is still waited for.
    pub request_timeout: Duration,
    /// How long a caller may have an answer held back (`Prefer: wait`), on top of that.
    pub max_wait: Duration,
    /// The same where a file is imported.
    pub import_timeout: Duration,
    /// How long the next piece of such a file may take to arrive; longer is 400/4000.
    pub import_stall_timeout: Duration,
    /// How many calls one worker has under way; one more stands in line for a while, and is 503/5003 then.
    pub places: Places,
}

/// Tells `/health/ready` that the server is on its way out.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<(AtomicBool, Notify)>);

impl Drain {
    /// From now on the server is not ready.
    pub fn start(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        self.0.1.notify_waiters();
    }

    /// Returns once [`Drain::start`] was called.
    pub async fn started(&self) {
        let told = self.0.1.notified();
        tokio::pin!(told);
        // From here on no call is missed, so that one before is the only other to ask for.
        told.as_mut().enable();
        if !self.has_started() {
            told.await;
        }
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.0.0.load(Ordering::SeqCst)
    }
}

/// Every method and path that is served, `HEAD` and `OPTIONS` aside: what a table of routes is held against.
#[must_use]
pub fn served_routes() -> Vec<(Method, &'static str)> {
    let all = routes::all(true).into_iter().chain(docs::all());
    all.flat_map(|served| served.methods().map(|method| (method.clone(), served.path())).collect::<Vec<_>>()).collect()
}
