//! Faults: what goes wrong, and how it is put right again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_tests::proxy::{Line, Proxy};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use tokio::sync::OnceCell;
use tokio::time::sleep;

use crate::act::Stage;
use crate::bulk_import::BulkImport;
use crate::disk::Disk;
use crate::fault::Fault;
use crate::held_row;
use crate::ledger::{Excused, Made, grace};
use crate::model::Instant;
use crate::postgres::Postgres;
use crate::replica::Replica;
use crate::rest::{self, Usages};
use crate::slow_clients;
use crate::stalled_log;
use crate::time::now;

/// By how much a replica's clock is set off, in seconds.
const SKEW: i64 = 90;

/// What faults are made on.
pub(crate) struct Ground {
    pub(crate) stage: Arc<Stage>,
    pub(crate) postgres: Option<Arc<Postgres>>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) disk: Option<Disk>,
    pub(crate) import: BulkImport,
    pub(crate) can_skew: bool,
    /// How long a fault lasts, in milliseconds: at the least and at the most.
    pub(crate) lasting: (u64, u64),
    /// The same for the pause after it.
    pub(crate) pausing: (u64, u64),
    /// From when on the first server is not killed any more: a process that leaks must live long enough to show it.
    pub(crate) spare_from: Option<Instant>,
    /// What the servers took then, after a quiet spell.
    pub(crate) settled: OnceCell<Usages>,
}

/// The least time for which callers leave: a terminal calls every other second.
const LEAVING: Duration = Duration::from_secs(4);

/// After so many faults of a long run there is a quiet spell, in which no failure is excused.
const QUIET_AFTER: usize = 6;
const QUIET: Duration = Duration::from_secs(5);

impl Ground {
    /// Makes one fault after the other, every one of them before any comes again, until the time is up and each was
    /// made once at least. From the second round on some come two at a time.
    pub(crate) async fn rage(&self, until: Instant, random: &mut StdRng) -> anyhow::Result<()> {
        let mut possible: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.is_possible(self)).collect();
        let (mut round, mut made) = (0, 0);
        loop {
            possible.shuffle(random);
            // First, what nobody may notice: then no fault before it has to be out of sight.
            possible.sort_by_key(|fault| round == 0 && !fault.is_harmless());
            for fault in &possible {
                if round > 0 && now() > until {
                    return Ok(());
                }
                self.spare_one().await?;
                if fault.kills() && self.killable().is_empty() {
                    continue;
                }
                let with = possible.choose(random).filter(|with| fault.goes_with(**with) && round > 0);
                self.make(*fault, with.copied(), random).await.with_context(|| fault.name())?;
                made += 1;
                if self.spare_from.is_some() && made % QUIET_AFTER == 0 {
                    sleep(grace() + QUIET).await;
                }
                sleep(between(self.pausing, random)).await;
            }
            round += 1;
        }
    }

    /// Once it is time, remembers what the servers take; from then on the first of them is left alive.
    async fn spare_one(&self) -> anyhow::Result<()> {
        if self.is_sparing() && self.settled.get().is_none() {
            sleep(grace() + QUIET).await;
            self.settled.set(rest::usage(&self.stage).await?)?;
        }
        Ok(())
    }

    fn is_sparing(&self) -> bool {
        self.spare_from.is_some_and(|from| now() > from)
    }

    fn killable(&self) -> Vec<Arc<Replica>> {
        self.stage.replicas.iter().skip(usize::from(self.is_sparing())).cloned().collect()
    }

    async fn make(&self, fault: Fault, with: Option<Fault>, random: &mut StdRng) -> anyhow::Result<()> {
        let ledger = &self.stage.ledger;
        let (_, failed_before, ..) = ledger.totals();
        if fault.is_harmless() && ledger.was_disturbed_for_all() {
            // What went wrong before must not excuse what goes wrong now.
            sleep(grace()).await;
        }
        let disturbance = (!fault.is_harmless()).then(|| ledger.excuse(Excused::Everybody));
        let lasting = between(self.lasting, random);
        let mut others = StdRng::seed_from_u64(random.random());
        let one = async {
            let began = now();
            anyhow::Ok((fault, began, self.inflict(fault, lasting, random).await?, now()))
        };
        let other = async {
            let Some(with) = with else { return Ok(None) };
            let (began, lasting) = (now(), between(self.lasting, &mut others));
            anyhow::Ok(Some((with, began, self.inflict(with, lasting, &mut others).await?, now())))
        };
        let (one, other) = futures_util::try_join!(one, other)?;
        disturbance.into_iter().for_each(|disturbance| ledger.calm(disturbance));
        let recovered = self.stage.recover(fault.name()).await;
        for (fault, began, seen, ended) in [Some(one), other].into_iter().flatten() {
            let (at, lasted) = (ledger.seconds(began), ledger.seconds(ended) - ledger.seconds(began));
            let (recovered, felt) = (recovered.as_secs_f64(), ledger.totals().1 - failed_before);
            eprintln!("          {}: {seen}, {felt} calls failed, recovered in {recovered:.2} s", fault.name());
            ledger.made(Made { act: ledger.act, fault: fault.name(), at, lasted, recovered, felt, seen });
        }
        Ok(())
    }

    async fn inflict(&self, fault: Fault, lasting: Duration, random: &mut StdRng) -> anyhow::Result<String> {
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
                    "{}, away for {:.1} s",
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
                postgres()?.all(Signal::STOP).await;
                sleep(lasting).await;
                postgres()?.all(Signal::CONT).await;
                Ok(lasted)
            }
            Fault::CutLine => self.line(Line::Cut, lasting).await,
            Fault::SilentLine => {
                let seen = self.line(Line::Silent, lasting).await?;
                // Half the time what was held back is lost.
                if random.random() {
                    return Ok(format!(
                        "{seen}, then cut: {}",
                        self.line(Line::Cut, Duration::from_millis(100)).await?
                    ));
                }
                Ok(seen)
            }
            Fault::SlowLine => {
                let delay = Duration::from_millis(random.random_range(20..150));
                Ok(format!("{delay:?} for each piece, {}", self.line(Line::Slow(delay), lasting).await?))
            }
            Fault::ExhaustPool => {
                let mut client = postgres()?.client().await?;
                let transaction = client.transaction().await?;
                // Everybody waits behind this lock, and so each connection of the pools is taken.
                transaction.batch_execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await?;
                sleep(lasting).await;
                transaction.rollback().await?;
                Ok(lasted)
            }
            Fault::FreezeIssuer => {
                self.stage.issuer.signal(Signal::STOP).await;
                sleep(lasting).await;
                self.stage.issuer.signal(Signal::CONT).await;
                Ok(lasted)
            }
            Fault::RestartIssuer => {
                self.stage.issuer.kill().await;
                // A server that starts now holds no keys.
                let killed = self.kill_servers(1, Duration::ZERO, random).await?;
                sleep(lasting).await;
                self.stage.issuer.run().await?;
                Ok(format!("away for {lasted}; {killed} meanwhile"))
            }
            Fault::ClockAhead | Fault::ClockBehind => {
                let skew = if fault == Fault::ClockAhead { SKEW } else { -SKEW };
                let replica = some_of(&self.killable(), random)?;
                replica.kill().await;
                replica.start(skew).await?;
                // Long enough for codes of either clock to be typed at the other.
                sleep(lasting.max(Duration::from_secs(3))).await;
                replica.kill().await;
                replica.start(0).await?;
                Ok(format!("{} by {skew} s for {lasted}", replica.name))
            }
            Fault::SlowClients => {
                let replica = some_of(&self.stage.replicas, random)?;
                slow_clients::attack(&replica, &self.stage.ledger).await
            }
            Fault::LeavingCallers => {
                let before = self.stage.ledger.counted("left by the caller");
                self.stage.set_leaving(true);
                sleep(lasting.max(LEAVING)).await;
                self.stage.set_leaving(false);
                Ok(format!("{} left", self.stage.ledger.counted("left by the caller") - before))
            }
            Fault::PausedServer => {
                let replica = some_of(&self.stage.replicas, random)?;
                let excuse = self.stage.ledger.excuse(Excused::Server(replica.name.clone()));
                replica.signal(Signal::STOP).await;
                sleep(lasting).await;
                replica.signal(Signal::CONT).await;
                self.stage.ledger.calm(excuse);
                Ok(format!("{} for {lasted}", replica.name))
            }
            Fault::StalledLog => {
                let replica = some_of(&self.stage.replicas, random)?;
                stalled_log::stall(&replica, lasting, &self.stage.ledger).await
            }
            Fault::HeldRow => held_row::hold(&self.stage, postgres()?, lasting, random).await,
            Fault::BulkImport => self.import.run(&self.stage, random).await,
            Fault::FullDisk => {
                let disk = self.disk.as_ref().context("no disk")?;
                let filled = disk.fill()?;
                sleep(lasting).await;
                disk.free()?;
                Ok(format!("{filled} KiB taken for {lasted}"))
            }
        }
    }

    async fn line(&self, line: Line, lasting: Duration) -> anyhow::Result<String> {
        let proxy = self.proxy.as_ref().context("no proxy")?;
        let before = proxy.connections();
        proxy.set(line);
        sleep(lasting).await;
        proxy.set(Line::Open);
        Ok(format!("{:.1} s, {} new connections", lasting.as_secs_f64(), proxy.connections() - before))
    }

    async fn kill_servers(&self, most: usize, away: Duration, random: &mut StdRng) -> anyhow::Result<String> {
        let mut order = self.killable();
        order.shuffle(random);
        order.truncate(most);
        for replica in &order {
            replica.kill().await;
        }
        sleep(away).await;
        for replica in &order {
            replica.start(0).await?;
        }
        let names: Vec<_> = order.iter().map(|replica| replica.name.as_str()).collect();
        Ok(format!("{} killed", names.join(" and ")))
    }
}

fn some_of(replicas: &[Arc<Replica>], random: &mut StdRng) -> anyhow::Result<Arc<Replica>> {
    replicas.choose(random).cloned().context("no replica")
}

fn between((least, most): (u64, u64), random: &mut StdRng) -> Duration {
    Duration::from_millis(random.random_range(least..=most))
}
