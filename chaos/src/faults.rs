//! Fault injection: schedules faults, applies and reverts them, and measures the recovery.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_tests::proxy::{LinkState, Proxy};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::bulk_import::BulkImport;
use crate::disconnecting_clients::DISCONNECTED;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::held_row;
use crate::history::{FailureScope, InjectedFault, grace};
use crate::model::Instant;
use crate::postgres::Postgres;
use crate::quiesce::{self, Usages};
use crate::replica::Replica;
use crate::scenario::ScenarioContext;
use crate::slow_clients;
use crate::stalled_log;
use crate::time::now;

/// Clock skew of a replica, in seconds.
const SKEW: i64 = 90;

/// What faults can be injected into, and how often.
pub(crate) struct FaultTargets {
    pub(crate) context: Arc<ScenarioContext>,
    pub(crate) postgres: Option<Arc<Postgres>>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) disk: Option<Disk>,
    pub(crate) import: BulkImport,
    pub(crate) can_skew: bool,
    /// Duration of a fault, in milliseconds: least and most.
    pub(crate) fault_millis: (u64, u64),
    /// Pause after a fault, in milliseconds: least and most.
    pub(crate) pause_millis: (u64, u64),
    /// From this time the first server is not killed any more: a process that leaks must live long enough to show it.
    pub(crate) spare_from: Option<Instant>,
    /// The servers' usage at that time, after a period without faults.
    pub(crate) settled_usage: OnceCell<Usages>,
}

/// Least duration of early disconnects: a terminal calls every other second.
const DISCONNECTING: Duration = Duration::from_secs(4);

/// A long run pauses after this many faults, for a period in which no failure is excused.
const QUIET_AFTER: usize = 6;
const QUIET: Duration = Duration::from_secs(5);

impl FaultTargets {
    /// Injects faults in rounds until the time has passed and each possible fault was injected at least once. A round has
    /// each fault once. From the second round on, some faults overlap.
    pub(crate) async fn inject_until(&self, until: Instant, random: &mut StdRng) -> anyhow::Result<()> {
        let mut possible: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| self.supports(*fault)).collect();
        let (mut round, mut injected) = (0, 0);
        loop {
            possible.shuffle(random);
            // Transparent faults first: they then need not wait until failures of an earlier fault are no longer excused.
            possible.sort_by_key(|fault| round == 0 && !fault.is_transparent());
            for fault in &possible {
                if round > 0 && now() > until {
                    return Ok(());
                }
                self.record_settled_usage().await?;
                if fault.kills_server() && self.killable().is_empty() {
                    continue;
                }
                let other = possible.choose(random).filter(|other| fault.may_overlap(**other) && round > 0);
                self.inject(*fault, other.copied(), random).await.with_context(|| fault.name())?;
                injected += 1;
                if self.spare_from.is_some() && injected % QUIET_AFTER == 0 {
                    sleep(grace() + QUIET).await;
                }
                sleep(random_duration(self.pause_millis, random)).await;
            }
            round += 1;
        }
    }

    /// Whether the fault can be injected in this scenario and on this machine.
    fn supports(&self, fault: Fault) -> bool {
        match fault {
            Fault::KillServer
            | Fault::SlowClients
            | Fault::DisconnectingClients
            | Fault::PausedServer
            | Fault::StalledLog
            | Fault::BulkImport => true,
            Fault::KillEveryServer | Fault::FreezeIssuer | Fault::RestartIssuer => self.postgres.is_some(),
            Fault::RestartPostgres
            | Fault::CrashPostgres
            | Fault::KillBackends
            | Fault::FreezePostgres
            | Fault::ExhaustPool
            | Fault::LockedRow => self.postgres.is_some(),
            Fault::CutNetwork | Fault::SlowNetwork | Fault::SilentNetwork => self.proxy.is_some(),
            Fault::ClockAhead | Fault::ClockBehind => self.can_skew && self.postgres.is_some(),
            Fault::FullDisk => self.disk.is_some(),
        }
    }

    /// From `spare_from` on, records the servers' usage once.
    async fn record_settled_usage(&self) -> anyhow::Result<()> {
        if self.is_sparing() && self.settled_usage.get().is_none() {
            sleep(grace() + QUIET).await;
            self.settled_usage.set(quiesce::usage(&self.context).await?)?;
        }
        Ok(())
    }

    fn is_sparing(&self) -> bool {
        self.spare_from.is_some_and(|from| now() > from)
    }

    fn killable(&self) -> Vec<Arc<Replica>> {
        self.context.replicas.iter().skip(usize::from(self.is_sparing())).cloned().collect()
    }

    /// Injects one fault, or two that overlap, and waits for the recovery.
    async fn inject(&self, fault: Fault, overlapping: Option<Fault>, random: &mut StdRng) -> anyhow::Result<()> {
        let history = &self.context.history;
        let (_, failed_before, ..) = history.totals();
        if fault.is_transparent() && history.has_excused_all() {
            // An earlier fault must not excuse failures of this one.
            sleep(grace()).await;
        }
        let excuse = (!fault.is_transparent()).then(|| history.begin_excuse(FailureScope::All));
        let lasting = random_duration(self.fault_millis, random);
        let mut other_random = StdRng::seed_from_u64(random.random());
        let one = async {
            let began = now();
            anyhow::Ok((fault, began, self.apply(fault, lasting, random).await?, now()))
        };
        let other = async {
            let Some(fault) = overlapping else { return Ok(None) };
            let (began, lasting) = (now(), random_duration(self.fault_millis, &mut other_random));
            anyhow::Ok(Some((fault, began, self.apply(fault, lasting, &mut other_random).await?, now())))
        };
        let (one, other) = futures_util::try_join!(one, other)?;
        excuse.into_iter().for_each(|excuse| history.end_excuse(excuse));
        let recovered = self.context.recover(fault.name()).await;
        for (fault, began, result, ended) in [Some(one), other].into_iter().flatten() {
            let (at, lasted) = (history.seconds(began), history.seconds(ended) - history.seconds(began));
            let (recovered, failed_calls) = (recovered.as_secs_f64(), history.totals().1 - failed_before);
            let (scenario, fault) = (history.scenario, fault.name());
            eprintln!("          {fault}: {result}, {failed_calls} calls failed, recovered in {recovered:.2} s");
            history.record_fault(InjectedFault { scenario, fault, at, lasted, recovered, failed_calls, result });
        }
        Ok(())
    }

    /// Applies a fault, reverts it, and describes what it did.
    async fn apply(&self, fault: Fault, lasting: Duration, random: &mut StdRng) -> anyhow::Result<String> {
        let lasted = format!("{:.1} s", lasting.as_secs_f64());
        let postgres = || self.postgres.as_ref().context("no PostgreSQL");
        match fault {
            Fault::KillServer => self.kill_servers(1, lasting / 4, random).await,
            Fault::KillEveryServer => self.kill_servers(usize::MAX, lasting / 4, random).await,
            Fault::RestartPostgres | Fault::CrashPostgres => {
                let crash = fault == Fault::CrashPostgres;
                postgres()?.stop(if crash { Signal::QUIT } else { Signal::INT }).await;
                sleep(lasting / 2).await;
                postgres()?.run().await?;
                Ok(format!(
                    "{}, down for {:.1} s",
                    if crash { "immediate" } else { "fast" },
                    lasting.as_secs_f64() / 2.0
                ))
            }
            Fault::KillBackends => {
                let mut killed = 0;
                for _ in 0..3 {
                    killed += postgres()?.terminate_backends().await?;
                    sleep(lasting / 6).await;
                }
                Ok(format!("{killed} sessions ended"))
            }
            Fault::FreezePostgres => {
                postgres()?.signal_all(Signal::STOP).await;
                sleep(lasting).await;
                postgres()?.signal_all(Signal::CONT).await;
                Ok(lasted)
            }
            Fault::CutNetwork => self.degrade_network(LinkState::Cut, lasting).await,
            Fault::SilentNetwork => {
                let result = self.degrade_network(LinkState::Silent, lasting).await?;
                // In half of the cases the bytes that were held back are lost.
                if random.random() {
                    let cut = self.degrade_network(LinkState::Cut, Duration::from_millis(100)).await?;
                    return Ok(format!("{result}, then cut: {cut}"));
                }
                Ok(result)
            }
            Fault::SlowNetwork => {
                let delay = Duration::from_millis(random.random_range(20..150));
                Ok(format!(
                    "{delay:?} for each chunk, {}",
                    self.degrade_network(LinkState::Slow(delay), lasting).await?
                ))
            }
            Fault::ExhaustPool => {
                let mut client = postgres()?.client().await?;
                let transaction = client.transaction().await?;
                // All queries wait for this lock, so every connection of the pools is in use.
                transaction.batch_execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await?;
                sleep(lasting).await;
                transaction.rollback().await?;
                Ok(lasted)
            }
            Fault::FreezeIssuer => {
                self.context.issuer.signal(Signal::STOP).await;
                sleep(lasting).await;
                self.context.issuer.signal(Signal::CONT).await;
                Ok(lasted)
            }
            Fault::RestartIssuer => {
                self.context.issuer.kill().await;
                // A server that starts now cannot fetch keys.
                let killed = self.kill_servers(1, Duration::ZERO, random).await?;
                sleep(lasting).await;
                self.context.issuer.start_process().await?;
                Ok(format!("down for {lasted}; {killed} meanwhile"))
            }
            Fault::ClockAhead | Fault::ClockBehind => {
                let skew = if fault == Fault::ClockAhead { SKEW } else { -SKEW };
                let replica = choose(&self.killable(), random)?;
                replica.kill().await;
                replica.start(skew).await?;
                // Long enough for codes of each server to be claimed at the other one.
                sleep(lasting.max(Duration::from_secs(3))).await;
                replica.kill().await;
                replica.start(0).await?;
                Ok(format!("{} by {skew} s for {lasted}", replica.name))
            }
            Fault::SlowClients => {
                let replica = choose(&self.context.replicas, random)?;
                slow_clients::run(&replica, &self.context.history).await
            }
            Fault::DisconnectingClients => {
                let before = self.context.history.counted(DISCONNECTED);
                self.context.set_disconnecting(true);
                sleep(lasting.max(DISCONNECTING)).await;
                self.context.set_disconnecting(false);
                Ok(format!("{} disconnected", self.context.history.counted(DISCONNECTED) - before))
            }
            Fault::PausedServer => {
                let replica = choose(&self.context.replicas, random)?;
                let excuse = self.context.history.begin_excuse(FailureScope::Server(replica.name.clone()));
                replica.signal(Signal::STOP).await;
                sleep(lasting).await;
                replica.signal(Signal::CONT).await;
                self.context.history.end_excuse(excuse);
                Ok(format!("{} for {lasted}", replica.name))
            }
            Fault::StalledLog => {
                let replica = choose(&self.context.replicas, random)?;
                stalled_log::stall(&replica, lasting, &self.context.history).await
            }
            Fault::LockedRow => held_row::lock(&self.context, postgres()?, lasting, random).await,
            Fault::BulkImport => self.import.run(&self.context, random).await,
            Fault::FullDisk => {
                let disk = self.disk.as_ref().context("no disk")?;
                let filled = disk.fill()?;
                sleep(lasting).await;
                disk.free()?;
                Ok(format!("{filled} KiB filled for {lasted}"))
            }
        }
    }

    async fn degrade_network(&self, line: LinkState, lasting: Duration) -> anyhow::Result<String> {
        let proxy = self.proxy.as_ref().context("no proxy")?;
        let before = proxy.connections();
        proxy.set(line);
        sleep(lasting).await;
        proxy.set(LinkState::Open);
        Ok(format!("{:.1} s, {} new connections", lasting.as_secs_f64(), proxy.connections() - before))
    }

    async fn kill_servers(&self, most: usize, down: Duration, random: &mut StdRng) -> anyhow::Result<String> {
        let mut order = self.killable();
        order.shuffle(random);
        order.truncate(most);
        for replica in &order {
            replica.kill().await;
        }
        sleep(down).await;
        for replica in &order {
            replica.start(0).await?;
        }
        let names: Vec<_> = order.iter().map(|replica| replica.name.as_str()).collect();
        Ok(format!("{} killed", names.join(" and ")))
    }
}

fn choose(replicas: &[Arc<Replica>], random: &mut StdRng) -> anyhow::Result<Arc<Replica>> {
    replicas.choose(random).cloned().context("no replica")
}

fn random_duration((least, most): (u64, u64), random: &mut StdRng) -> Duration {
    Duration::from_millis(random.random_range(least..=most))
}
