//! One act: a store, its servers, and everybody at work on them, while faults come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;

use crate::fleet::Fleet;
use crate::issuer::Issuer;
use crate::ledger::{Ledger, RECOVERY_LIMIT};
use crate::merchants::Shop;
use crate::model::{Instant, SECOND};
use crate::people::People;
use crate::portal::Portal;
use crate::replica::Replica;
use crate::terminals;
use crate::time::{load_per_core, now, patience};

/// What everybody in an act works with.
pub(crate) struct Stage {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) replicas: Vec<Arc<Replica>>,
    pub(crate) fleet: Fleet,
    over: AtomicBool,
    leaving: AtomicBool,
}

impl Stage {
    pub(crate) fn new(ledger: Arc<Ledger>, issuer: Arc<Issuer>, replicas: Vec<Arc<Replica>>, fleet: Fleet) -> Self {
        let (over, leaving) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { ledger, issuer, replicas, fleet, over, leaving }
    }

    /// Whether everybody should go home.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether half of those who call leave before they are answered.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// From now on half of those who call leave, or nobody does any more.
    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Waits until every server says that it is ready and looks devices up, on connections that were not there before,
    /// one for each worker, and tells how long it took. Longer than the limit is a violation, and never is one however
    /// busy the machine is.
    pub(crate) async fn recover(&self, fault: &str) -> Duration {
        let begun = now();
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).pool_max_idle_per_host(0).build();
        let Ok(http) = http else {
            self.ledger.violation("no client to look whether the servers recovered", Vec::new());
            return Duration::ZERO;
        };
        for replica in &self.replicas {
            let (mut looked_up, mut tries) = (0, 0);
            // Far beyond the limit, so that the report can tell late from never.
            while looked_up < WORKERS && tries < 600 {
                tries += 1;
                if is_well(&http, &replica.url).await {
                    looked_up += 1;
                } else {
                    looked_up = 0;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            if looked_up < WORKERS {
                self.ledger.violation(format!("{} never recovered from: {fault}", replica.name), Vec::new());
            }
        }
        let took = Duration::from_micros(u64::try_from(now() - begun).unwrap_or_default());
        if took > RECOVERY_LIMIT.mul_f64(patience()) {
            self.ledger.violation(format!("{took:.1?} to recover from: {fault}"), Vec::new());
        }
        took
    }
}

/// HTTP workers of each server.
pub(crate) const WORKERS: usize = 2;

/// Whether a server is ready, and finds in its database that nobody knows a device.
async fn is_well(http: &reqwest::Client, url: &str) -> bool {
    let ready = http.get(format!("{url}/health/ready")).send().await;
    if !ready.is_ok_and(|answer| answer.status().is_success()) {
        return false;
    }
    let look =
        http.get(format!("{url}/pos/status")).header("X-Device-Id", "POS-NOBODYS").header("X-Client-Type", "pos");
    let look = look.header("User-Agent", "Viopay-POS/1.4.2 (Android 12; PAX-A920)").send().await;
    look.is_ok_and(|answer| answer.status().as_u16() == 404)
}

/// Everybody at work.
pub(crate) struct Crowd {
    stage: Arc<Stage>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Crowd {
    /// Starts the terminals, the merchants, and a line of progress every few seconds.
    pub(crate) fn start(stage: &Arc<Stage>, people: &People, random: &mut StdRng) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let transport = terminals::transport()?;
        for slot in 0..stage.fleet.slots.len() {
            tasks.spawn(terminals::run(stage.clone(), slot, transport.clone(), random.random()));
        }
        let http = reqwest::Client::builder().no_proxy().timeout(terminals::PATIENCE).build()?;
        for (merchant, staff) in people.merchants().iter().enumerate() {
            let desk = |person: &crate::people::Person| Portal::new(stage.clone(), person.clone(), http.clone());
            let count = staff.len();
            let shop = Arc::new(Shop { stage: stage.clone(), merchant, staff: staff.iter().map(desk).collect() });
            for who in 0..count {
                let (shop, seed) = (shop.clone(), random.random());
                tasks.spawn(async move {
                    shop.work(who, seed).await;
                    Ok(())
                });
            }
        }
        tasks.spawn(watch(stage.clone()));
        Ok(Self { stage: stage.clone(), tasks })
    }

    /// Sends everybody home and waits for the last.
    pub(crate) async fn go_home(mut self) -> anyhow::Result<()> {
        self.stage.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Says how it goes, and sees to it that no server ends by itself.
async fn watch(stage: Arc<Stage>) -> anyhow::Result<()> {
    let mut told: Instant = 0;
    while !stage.is_over() {
        if now() - told > 5 * SECOND {
            told = now();
            stage.ledger.busy(load_per_core());
            let (calls, failed, faults, violations) = stage.ledger.totals();
            eprintln!(
                "{:7.1} s  {}: {calls} calls, {failed} failed, {faults} faults, {violations} violations",
                stage.ledger.seconds(told),
                stage.ledger.act
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        for replica in &stage.replicas {
            let sent = now();
            if !replica.was_down(sent) && replica.has_crashed().await && !replica.was_down(sent) {
                stage.ledger.violation(format!("{} ended by itself", replica.name), Vec::new());
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A source of chance for one part of the run.
pub(crate) fn chance(seed: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
