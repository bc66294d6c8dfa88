//! The whole run: PostgreSQL with two servers, then SQLite with one.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use pos_adapters::storage::DatabaseUrl;
use pos_tests::proxy::Proxy;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::sync::OnceCell;

use crate::act::{Crowd, Stage, WORKERS, chance};
use crate::bulk_import::BulkImport;
use crate::disk::Disk;
use crate::faults::Ground;
use crate::fleet::Fleet;
use crate::issuer::{AUDIENCE, Issuer};
use crate::ledger::{Account, Ledger, grace};
use crate::model::{Instant, SECOND};
use crate::options::Options;
use crate::people::People;
use crate::postgres::Postgres;
use crate::process::free_port;
use crate::replica::{Recipe, Replica};
use crate::time::now;
use crate::{audit, found, issuer, report, rest};

/// How long a code is good here, in seconds: short, so that codes expire while somebody looks.
const CODE_TTL: i64 = 20;

/// Room for the SQLite file, in MiB.
const DISK: u32 = 96;

const LIBFAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

struct Run {
    options: Options,
    people: People,
    faketime: Option<PathBuf>,
    seed: u64,
}

/// Plays both acts and writes the report; exit status 1 when anything was wrong.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    issuer::check(&options.server)?;
    std::fs::create_dir_all(&options.output)?;
    for old in std::fs::read_dir(&options.output)?.flatten() {
        let _ = std::fs::remove_file(old.path());
    }
    let seed = options.seed.unwrap_or_else(|| now().unsigned_abs());
    println!("seed {seed}");
    // Ten terminals a merchant.
    let people = People::new((options.terminals / 10).max(2) as usize);
    let faketime = LIBFAKETIME.iter().map(PathBuf::from).find(|library| library.exists());
    let (begun, whole) = (now(), Instant::from(options.seconds) * SECOND);
    let ledger = |act| Arc::new(Ledger::new(act, begun));
    let ledgers = [ledger("PostgreSQL"), ledger("SQLite")];
    let run = Run { options, people, faketime, seed };
    let [postgres, sqlite] = &ledgers;
    if run.options.short {
        // Together, to save time; what goes wrong in one act excuses nothing in the other.
        futures_util::try_join!(run.on_postgres(postgres, begun), run.on_sqlite(sqlite, begun))?;
    } else {
        run.on_postgres(postgres, begun + whole * 3 / 4).await.context("the act on PostgreSQL")?;
        run.on_sqlite(sqlite, begun + whole).await.context("the act on SQLite")?;
    }
    let took = Duration::from_micros((now() - begun).unsigned_abs());
    let mut account = Account::default();
    ledgers.iter().for_each(|ledger| ledger.close_into(&mut account));
    report::write(&account, &run.options, seed, took)
}

impl Run {
    async fn on_postgres(&self, ledger: &Arc<Ledger>, until: Instant) -> anyhow::Result<()> {
        if self.faketime.is_none() {
            ledger.note("LEFT OUT: no replica's clock was set off, for there is no libfaketime here");
        }
        let postgres = Arc::new(Postgres::start(&self.options.folder, &self.options.output).await?);
        let proxy = Proxy::start(postgres.address()).await?;
        let direct = format!("postgres://postgres@{}/postgres", postgres.address());
        let fleet = self.people.settle(direct.parse()?, 10).await?;
        let issuer = self.issuer("postgresql").await?;
        let url = format!("postgres://postgres@{}/postgres", proxy.address());
        let replicas = vec![self.replica("one", &url, &issuer)?, self.replica("two", &url, &issuer)?];
        let random = &mut chance(self.seed, 1);
        let stage = Self::stage(ledger, issuer.clone(), replicas, fleet);
        let import = self.import(Self::settings(&direct, &issuer), 20_000, "all_or_nothing")?;
        let ground = self.ground(stage, Some(postgres.clone()), Some(proxy), None, import, until);
        self.play(&ground, until, random).await?;
        let client = postgres.client().await?;
        rest::sessions(&client, &ground.stage).await?;
        audit::check(&found::in_postgres(&client).await?, &ground.stage);
        self.verify(ledger, &Self::settings(&direct, &issuer)).await?;
        rest::stop(&ground.stage).await;
        postgres.stop(Signal::INT).await;
        Ok(())
    }

    async fn on_sqlite(&self, ledger: &Arc<Ledger>, until: Instant) -> anyhow::Result<()> {
        let disk = Disk::mount(&self.options.folder, DISK);
        if let Err(why) = &disk {
            ledger.note(format!("LEFT OUT: the disk was not filled: {why}"));
        }
        let disk = disk.ok();
        let file = disk.as_ref().map_or(self.options.folder.as_path(), Disk::folder).join("pos.db");
        let devices = (self.options.terminals as usize / 4).div_ceil(self.people.merchants().len());
        let fleet = self.people.settle(DatabaseUrl::sqlite(file.clone()), devices).await?;
        let issuer = self.issuer("sqlite").await?;
        let url = format!("sqlite://{}", file.display());
        let stage = Self::stage(ledger, issuer.clone(), vec![self.replica("single", &url, &issuer)?], fleet);
        // In batches: an import that is one transaction keeps all other writers of an SQLite file waiting.
        let import = self.import(Self::settings(&url, &issuer), 4_000, "best_effort")?;
        let ground = self.ground(stage, None, None, disk, import, until);
        self.play(&ground, until, &mut chance(self.seed, 2)).await?;
        audit::check(&found::in_sqlite(&file)?, &ground.stage);
        self.verify(ledger, &Self::settings(&url, &issuer)).await?;
        rest::stop(&ground.stage).await;
        Ok(())
    }

    /// Everybody at work, all the faults, and a quiet end.
    async fn play(&self, ground: &Ground, until: Instant, random: &mut StdRng) -> anyhow::Result<()> {
        let stage = &ground.stage;
        for replica in &stage.replicas {
            replica.start(0).await?;
        }
        let before = rest::usage(stage).await?;
        let crowd = Crowd::start(stage, &self.people, random)?;
        tokio::time::sleep(Duration::from_secs(if self.options.short { 3 } else { 15 })).await;
        let warm = rest::usage(stage).await?;
        ground.rage(until, random).await?;
        // From the end of the grace on, no failure is excused.
        tokio::time::sleep(grace()).await;
        let (before_the_end, ..) = stage.ledger.totals();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let calls = stage.ledger.totals().0 - before_the_end;
        if calls < stage.fleet.slots.len() as u64 {
            let what = format!("only {calls} calls were answered in the last five seconds, without a fault");
            stage.ledger.violation(what, Vec::new());
        }
        crowd.go_home().await?;
        stage.ledger.judge_the_machine();
        rest::check(stage, &before, ground.settled.get().unwrap_or(&warm)).await
    }

    fn stage(
        ledger: &Arc<Ledger>,
        issuer: Arc<Issuer>,
        replicas: Vec<Arc<Replica>>,
        fleet: Vec<Vec<String>>,
    ) -> Arc<Stage> {
        let fleet = Fleet::new(fleet, CODE_TTL * SECOND);
        Arc::new(Stage::new(ledger.clone(), issuer, replicas, fleet))
    }

    async fn issuer(&self, name: &str) -> anyhow::Result<Arc<Issuer>> {
        let Options { server, folder, output, .. } = &self.options;
        Ok(Arc::new(Issuer::start(name, server, &self.people, folder, output).await?))
    }

    fn ground(
        &self,
        stage: Arc<Stage>,
        postgres: Option<Arc<Postgres>>,
        proxy: Option<Proxy>,
        disk: Option<Disk>,
        import: BulkImport,
        until: Instant,
    ) -> Ground {
        let (lasting, pausing) =
            if self.options.short { ((1_000, 2_500), (100, 600)) } else { ((2_000, 12_000), (500, 15_000)) };
        let spare_from = (!self.options.short).then(|| now() + (until - now()) * 2 / 3);
        let (can_skew, settled) = (self.faketime.is_some(), OnceCell::new());
        Ground { stage, postgres, proxy, disk, import, can_skew, lasting, pausing, spare_from, settled }
    }

    fn import(&self, settings: Vec<(String, String)>, rows: usize, mode: &'static str) -> anyhow::Result<BulkImport> {
        let merchant = self.people.all().next().context("no merchant")?.merchant;
        let (program, folder) = (self.options.server.clone(), self.options.folder.clone());
        Ok(BulkImport { program, settings, folder, merchant, rows, mode })
    }

    fn replica(&self, name: &str, database: &str, issuer: &Issuer) -> anyhow::Result<Arc<Replica>> {
        let recipe = Recipe {
            program: self.options.server.clone(),
            settings: Self::settings(database, issuer),
            log: self.options.output.join(format!("server-{name}.log")),
            faketime: self.faketime.clone(),
        };
        Ok(Arc::new(Replica::new(name, free_port()?, recipe)))
    }

    /// The shipped defaults, but for these.
    fn settings(database: &str, issuer: &Issuer) -> Vec<(String, String)> {
        let own = [
            ("HTTP__WORKERS", WORKERS.to_string()),
            ("DATABASE__URL", database.to_owned()),
            ("IDENTITY__ISSUER", issuer.address()),
            ("IDENTITY__AUDIENCE", AUDIENCE.to_owned()),
            // Seconds matter here.
            ("IDENTITY__REFRESH_COOLDOWN_SECS", "3".to_owned()),
            ("PAIRING__CODE_TTL_SECS", CODE_TTL.to_string()),
            // Our merchants type wrong codes on purpose, far more often than people do.
            ("CLAIM__MAX_FAILURES", "1000000".to_owned()),
        ];
        own.into_iter().map(|(key, value)| (format!("POS__{key}"), value)).collect()
    }

    /// `pos-server audit verify`.
    async fn verify(&self, ledger: &Ledger, settings: &[(String, String)]) -> anyhow::Result<()> {
        let mut command = tokio::process::Command::new(&self.options.server);
        command.args(["audit", "verify"]).envs(settings.iter().cloned()).kill_on_drop(true);
        let told = command.output().await?;
        let text = String::from_utf8_lossy(&told.stdout);
        let text = text.trim();
        if told.status.success() {
            ledger.note(format!("pos-server audit verify: {}", text.lines().last().unwrap_or_default()));
        } else {
            let history = text.lines().take(20).map(str::to_owned).collect();
            ledger.violation("pos-server audit verify found faults", history);
        }
        Ok(())
    }
}
