//! Runner: one scenario on PostgreSQL with two servers, one on SQLite with one server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_adapters::storage::DatabaseUrl;
use pos_tests::proxy::Proxy;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::bulk_import::BulkImport;
use crate::disk::Disk;
use crate::faults::FaultTargets;
use crate::fleet::Fleet;
use crate::history::{ScenarioHistory, Summary, grace};
use crate::issuer::{AUDIENCE, Issuer};
use crate::model::{Instant, SECOND};
use crate::options::Options;
use crate::people::People;
use crate::postgres::Postgres;
use crate::process::free_port;
use crate::replica::{LaunchConfig, Replica};
use crate::scenario::{ScenarioContext, WORKERS};
use crate::time::now;
use crate::workload::Workload;
use crate::{audit, db_snapshot, issuer, quiesce, report};

/// Lifetime of a code, in seconds: short, so that codes expire during a scenario.
const CODE_TTL: i64 = 20;

/// Size of the disk for the SQLite file, in MiB.
const DISK: u32 = 96;

const LIBFAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

struct Run {
    options: Options,
    people: People,
    faketime: Option<PathBuf>,
    seed: u64,
}

/// Runs both scenarios and writes the report. The exit status is 1 if there was a violation.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    issuer::check_program(&options.server)?;
    std::fs::create_dir_all(&options.output)?;
    for old in std::fs::read_dir(&options.output)?.flatten() {
        let _ = std::fs::remove_file(old.path());
    }
    let seed = options.seed.unwrap_or_else(|| now().unsigned_abs());
    println!("seed {seed}");
    // Ten terminals for each merchant.
    let people = People::new((options.terminals / 10).max(2) as usize);
    let faketime = LIBFAKETIME.iter().map(PathBuf::from).find(|library| library.exists());
    let (begun, duration) = (now(), Instant::from(options.seconds) * SECOND);
    let history = |scenario| Arc::new(ScenarioHistory::new(scenario, begun));
    let histories = [history("PostgreSQL"), history("SQLite")];
    let run = Run { options, people, faketime, seed };
    let [postgres, sqlite] = &histories;
    if run.options.short {
        // Concurrently, to save time; a fault of one scenario excuses no failure of the other.
        futures_util::try_join!(run.on_postgres(postgres, begun), run.on_sqlite(sqlite, begun))?;
    } else {
        run.on_postgres(postgres, begun + duration * 3 / 4).await.context("the scenario on PostgreSQL")?;
        run.on_sqlite(sqlite, begun + duration).await.context("the scenario on SQLite")?;
    }
    let took = Duration::from_micros((now() - begun).unsigned_abs());
    let mut summary = Summary::default();
    histories.iter().for_each(|history| history.add_to(&mut summary));
    report::write(&summary, &run.options, seed, took)
}

/// The random number generator of one scenario.
fn seeded_rng(seed: u64, scenario: u64) -> StdRng {
    StdRng::seed_from_u64(seed ^ scenario.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Run {
    async fn on_postgres(&self, history: &Arc<ScenarioHistory>, until: Instant) -> anyhow::Result<()> {
        if self.faketime.is_none() {
            history.note("LEFT OUT: clock skew of a replica, because libfaketime is not installed");
        }
        let postgres = Arc::new(Postgres::start(&self.options.folder, &self.options.output).await?);
        let proxy = Proxy::start(postgres.address()).await?;
        let direct = format!("postgres://postgres@{}/postgres", postgres.address());
        let fleet = self.people.provision(direct.parse()?, 10).await?;
        let issuer = self.issuer("postgresql").await?;
        let url = format!("postgres://postgres@{}/postgres", proxy.address());
        let replicas = vec![self.replica("one", &url, &issuer)?, self.replica("two", &url, &issuer)?];
        let random = &mut seeded_rng(self.seed, 1);
        let context = Self::context(history, issuer.clone(), replicas, fleet);
        let import = self.import(Self::settings(&direct, &issuer), 20_000, "all_or_nothing")?;
        let targets = self.targets(context, Some(postgres.clone()), Some(proxy), None, import, until);
        self.run_scenario(&targets, until, random).await?;
        let client = postgres.client().await?;
        quiesce::check_sessions(&client, &targets.context).await?;
        audit::check(&db_snapshot::read_postgres(&client).await?, &targets.context);
        self.verify_device_chains(history, &Self::settings(&direct, &issuer)).await?;
        quiesce::stop(&targets.context).await;
        postgres.stop(Signal::INT).await;
        Ok(())
    }

    async fn on_sqlite(&self, history: &Arc<ScenarioHistory>, until: Instant) -> anyhow::Result<()> {
        let disk = Disk::mount(&self.options.folder, DISK);
        if let Err(why) = &disk {
            history.note(format!("LEFT OUT: full disk: {why}"));
        }
        let disk = disk.ok();
        let file = disk.as_ref().map_or(self.options.folder.as_path(), Disk::folder).join("pos.db");
        let devices = (self.options.terminals as usize / 4).div_ceil(self.people.merchants().len());
        let fleet = self.people.provision(DatabaseUrl::sqlite(file.clone()), devices).await?;
        let issuer = self.issuer("sqlite").await?;
        let url = format!("sqlite://{}", file.display());
        let context = Self::context(history, issuer.clone(), vec![self.replica("single", &url, &issuer)?], fleet);
        // In batches: an import in one transaction blocks all other writers of an SQLite file.
        let import = self.import(Self::settings(&url, &issuer), 4_000, "best_effort")?;
        let targets = self.targets(context, None, None, disk, import, until);
        self.run_scenario(&targets, until, &mut seeded_rng(self.seed, 2)).await?;
        audit::check(&db_snapshot::read_sqlite(&file)?, &targets.context);
        self.verify_device_chains(history, &Self::settings(&url, &issuer)).await?;
        quiesce::stop(&targets.context).await;
        Ok(())
    }

    /// Runs the workload with all faults, then without faults, then stops it and checks the idle servers.
    async fn run_scenario(&self, targets: &FaultTargets, until: Instant, random: &mut StdRng) -> anyhow::Result<()> {
        let context = &targets.context;
        for replica in &context.replicas {
            replica.start(0).await?;
        }
        let before = quiesce::usage(context).await?;
        let workload = Workload::start(context, &self.people, random)?;
        tokio::time::sleep(Duration::from_secs(if self.options.short { 3 } else { 15 })).await;
        let warm = quiesce::usage(context).await?;
        targets.inject_until(until, random).await?;
        // After the grace period no failure is excused.
        tokio::time::sleep(grace()).await;
        let (calls_before, ..) = context.history.totals();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let calls = context.history.totals().0 - calls_before;
        if calls < context.fleet.slots.len() as u64 {
            let what = format!("only {calls} calls were answered in the last five seconds, without a fault");
            context.history.violation(what, Vec::new());
        }
        workload.stop().await?;
        context.history.check_load_excuses();
        quiesce::check(context, &before, targets.settled_usage.get().unwrap_or(&warm)).await
    }

    fn context(
        history: &Arc<ScenarioHistory>,
        issuer: Arc<Issuer>,
        replicas: Vec<Arc<Replica>>,
        fleet: Vec<Vec<String>>,
    ) -> Arc<ScenarioContext> {
        let fleet = Fleet::new(fleet, CODE_TTL * SECOND);
        Arc::new(ScenarioContext::new(history.clone(), issuer, replicas, fleet))
    }

    async fn issuer(&self, name: &str) -> anyhow::Result<Arc<Issuer>> {
        let Options { server, folder, output, .. } = &self.options;
        Ok(Arc::new(Issuer::start(name, server, &self.people, folder, output).await?))
    }

    fn targets(
        &self,
        context: Arc<ScenarioContext>,
        postgres: Option<Arc<Postgres>>,
        proxy: Option<Proxy>,
        disk: Option<Disk>,
        import: BulkImport,
        until: Instant,
    ) -> FaultTargets {
        let (fault_millis, pause_millis) =
            if self.options.short { ((1_000, 2_500), (100, 600)) } else { ((2_000, 12_000), (500, 15_000)) };
        let spare_from = (!self.options.short).then(|| now() + (until - now()) * 2 / 3);
        let can_skew = self.faketime.is_some();
        FaultTargets {
            context,
            postgres,
            proxy,
            disk,
            import,
            can_skew,
            fault_millis,
            pause_millis,
            spare_from,
            settled_usage: OnceCell::new(),
        }
    }

    fn import(&self, settings: Vec<(String, String)>, rows: usize, mode: &'static str) -> anyhow::Result<BulkImport> {
        let merchant = self.people.all().next().context("no merchant")?.merchant;
        let (program, folder) = (self.options.server.clone(), self.options.folder.clone());
        Ok(BulkImport { program, settings, folder, merchant, rows, mode })
    }

    fn replica(&self, name: &str, database: &str, issuer: &Issuer) -> anyhow::Result<Arc<Replica>> {
        let launch = LaunchConfig {
            program: self.options.server.clone(),
            settings: Self::settings(database, issuer),
            log: self.options.output.join(format!("server-{name}.log")),
            faketime: self.faketime.clone(),
        };
        Ok(Arc::new(Replica::new(name, free_port()?, launch)))
    }

    /// The default settings, except these.
    fn settings(database: &str, issuer: &Issuer) -> Vec<(String, String)> {
        let own = [
            ("HTTP__WORKERS", WORKERS.to_string()),
            ("DATABASE__URL", database.to_owned()),
            ("IDENTITY__ISSUER", issuer.address()),
            ("IDENTITY__AUDIENCE", AUDIENCE.to_owned()),
            // Short, because faults last seconds.
            ("IDENTITY__REFRESH_COOLDOWN_SECS", "3".to_owned()),
            ("PAIRING__CODE_TTL_SECS", CODE_TTL.to_string()),
            // The simulated merchants type wrong codes on purpose, far more often than people do.
            ("CLAIM__MAX_FAILURES", "1000000".to_owned()),
        ];
        own.into_iter().map(|(key, value)| (format!("POS__{key}"), value)).collect()
    }

    /// Runs `pos-server audit verify`.
    async fn verify_device_chains(
        &self,
        history: &ScenarioHistory,
        settings: &[(String, String)],
    ) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(&self.options.server);
        command.args(["audit", "verify"]).envs(settings.iter().cloned()).kill_on_drop(true);
        let output = command.output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let text = text.trim();
        if output.status.success() {
            history.note(format!("pos-server audit verify: {}", text.lines().last().unwrap_or_default()));
        } else {
            let lines = text.lines().take(20).map(str::to_owned).collect();
            history.violation("pos-server audit verify failed", lines);
        }
        Ok(())
    }
}
