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
}

impl Stage {
    pub(crate) fn new(ledger: Arc<Ledger>, issuer: Arc<Issuer>, replicas: Vec<Arc<Replica>>, fleet: Fleet) -> Self {
        Self { ledger, issuer, replicas, fleet, over: AtomicBool::new(false) }
    }

    /// Whether everybody should go home.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until every server gives good answers, and tells how long it took. Longer than the limit is a violation.
    pub(crate) async fn recover(&self, fault: &str) -> Duration {
        let begun = now();
        let Ok(http) = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build() else {
            return Duration::ZERO;
        };
        for replica in &self.replicas {
            // Far beyond the limit, so that the report can tell late from never.
            for _ in 0..400 {
                let answer = http.get(format!("{}/health/ready", replica.url)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let took = Duration::from_micros(u64::try_from(now() - begun).unwrap_or_default());
        if took > RECOVERY_LIMIT.mul_f64(patience()) {
            self.ledger.violation(format!("{took:.1?} to recover from: {fault}"), Vec::new());
        }
        took
    }
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
