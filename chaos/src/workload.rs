//! Workload of a scenario: tasks that simulate terminals and merchant users, and a progress monitor.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

use crate::merchant_worker::MerchantWorker;
use crate::model::{Instant, SECOND};
use crate::people::{People, Person};
use crate::portal::Portal;
use crate::scenario::ScenarioContext;
use crate::terminals;
use crate::time::{load_per_core, now};

/// The running tasks.
pub(crate) struct Workload {
    context: Arc<ScenarioContext>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Workload {
    /// Starts the terminals, the merchant users, and the monitor.
    pub(crate) fn start(context: &Arc<ScenarioContext>, people: &People, random: &mut StdRng) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let transport = terminals::transport()?;
        for slot in 0..context.fleet.slots.len() {
            tasks.spawn(terminals::run(context.clone(), slot, transport.clone(), random.random()));
        }
        let http = reqwest::Client::builder().no_proxy().timeout(terminals::CALL_TIMEOUT).build()?;
        for (merchant, users) in people.merchants().iter().enumerate() {
            let portal = |person: &Person| Portal::new(context.clone(), person.clone(), http.clone());
            let count = users.len();
            let portals = users.iter().map(portal).collect();
            let worker = Arc::new(MerchantWorker { context: context.clone(), merchant, portals });
            for user in 0..count {
                let (worker, seed) = (worker.clone(), random.random());
                tasks.spawn(async move {
                    worker.run(user, seed).await;
                    Ok(())
                });
            }
        }
        tasks.spawn(monitor(context.clone()));
        Ok(Self { context: context.clone(), tasks })
    }

    /// Asks all tasks to stop, and waits until they have.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.context.request_stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

/// Prints the progress, and reports a server that exits by itself.
async fn monitor(context: Arc<ScenarioContext>) -> anyhow::Result<()> {
    let mut printed_at: Instant = 0;
    while !context.is_stopping() {
        if now() - printed_at > 5 * SECOND {
            printed_at = now();
            context.history.record_load(load_per_core());
            let (calls, failed, faults, violations) = context.history.totals();
            eprintln!(
                "{:7.1} s  {}: {calls} calls, {failed} failed, {faults} faults, {violations} violations",
                context.history.seconds(printed_at),
                context.history.scenario
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        for replica in &context.replicas {
            let sent = now();
            if !replica.was_down(sent) && replica.has_crashed().await && !replica.was_down(sent) {
                context.history.violation(format!("{} exited by itself", replica.name), Vec::new());
                return Ok(());
            }
        }
    }
    Ok(())
}
