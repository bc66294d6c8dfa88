//! Scenario context: the servers, devices and history that all simulated users and faults of one scenario share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fleet::Fleet;
use crate::history::{RECOVERY_LIMIT, ScenarioHistory};
use crate::issuer::Issuer;
use crate::replica::Replica;
use crate::time::{load_factor, now};

/// Shared state of one scenario.
pub(crate) struct ScenarioContext {
    pub(crate) history: Arc<ScenarioHistory>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) replicas: Vec<Arc<Replica>>,
    pub(crate) fleet: Fleet,
    stopping: AtomicBool,
    disconnecting: AtomicBool,
}

impl ScenarioContext {
    pub(crate) fn new(
        history: Arc<ScenarioHistory>,
        issuer: Arc<Issuer>,
        replicas: Vec<Arc<Replica>>,
        fleet: Fleet,
    ) -> Self {
        let (stopping, disconnecting) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { history, issuer, replicas, fleet, stopping, disconnecting }
    }

    /// Whether simulated users should stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Asks all simulated users to stop.
    pub(crate) fn request_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether half of the clients disconnect before they receive a response.
    pub(crate) fn is_disconnecting(&self) -> bool {
        self.disconnecting.load(Ordering::Relaxed)
    }

    /// Turns early disconnects of half of the clients on or off.
    pub(crate) fn set_disconnecting(&self, disconnecting: bool) {
        self.disconnecting.store(disconnecting, Ordering::Relaxed);
    }

    /// Waits until every server is ready and looks devices up, on new connections, once for each worker. Returns how long
    /// that took. Exceeding the limit is a violation; a server that never recovers is one however busy the machine is.
    pub(crate) async fn recover(&self, fault: &str) -> Duration {
        let begun = now();
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).pool_max_idle_per_host(0).build();
        let Ok(http) = http else {
            self.history.violation("no HTTP client to check the recovery of the servers", Vec::new());
            return Duration::ZERO;
        };
        for replica in &self.replicas {
            let (mut looked_up, mut tries) = (0, 0);
            // Far beyond the limit, so that the report can distinguish late from never.
            while looked_up < WORKERS && tries < 600 {
                tries += 1;
                if is_healthy(&http, &replica.url).await {
                    looked_up += 1;
                } else {
                    looked_up = 0;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            if looked_up < WORKERS {
                self.history.violation(format!("{} never recovered from: {fault}", replica.name), Vec::new());
            }
        }
        let took = Duration::from_micros(u64::try_from(now() - begun).unwrap_or_default());
        if took > RECOVERY_LIMIT.mul_f64(load_factor()) {
            self.history.violation(format!("{took:.1?} to recover from: {fault}"), Vec::new());
        }
        took
    }
}

/// HTTP workers of each server.
pub(crate) const WORKERS: usize = 2;

/// Whether a server is ready, and reports an unknown device as unknown, which takes a query of its database.
async fn is_healthy(http: &reqwest::Client, url: &str) -> bool {
    let ready = http.get(format!("{url}/health/ready")).send().await;
    if !ready.is_ok_and(|response| response.status().is_success()) {
        return false;
    }
    let look_up =
        http.get(format!("{url}/pos/status")).header("X-Device-Id", "POS-NOBODYS").header("X-Client-Type", "pos");
    let look_up = look_up.header("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)").send().await;
    look_up.is_ok_and(|response| response.status().as_u16() == 404)
}
