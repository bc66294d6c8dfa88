//! Private PostgreSQL cluster with default durability, which can be restarted, killed and frozen.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::process::{Process, free_port, send_signal};

/// A running cluster. Dropping it kills the server.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    process: Mutex<Option<Process>>,
}

impl Postgres {
    /// Creates a cluster in `folder` and starts it.
    pub(crate) async fn start(folder: &Path, log: &Path) -> anyhow::Result<Self> {
        let binaries = binaries().context("no PostgreSQL found: install it, or run scripts/install-test-tools")?;
        let (data, log) = (folder.join("postgres"), log.join("postgres.log"));
        std::fs::create_dir(&data)?;
        // PostgreSQL refuses to run as root.
        let owner = if rustix::process::geteuid().is_root() { Some(account("postgres")?) } else { None };
        if let Some((user, group)) = owner {
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            chown(&data, Some(user), Some(group))?;
        }
        let this = Self { binaries, data, log, port: free_port()?, owner, process: Mutex::default() };
        let mut initdb = this.command("initdb");
        initdb.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale=C", "--no-sync"]);
        let output = initdb.arg("--pgdata").arg(&this.data).output().await?;
        anyhow::ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        this.run().await?;
        Ok(this)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Connects directly, without the proxy.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Starts the server and waits until it accepts connections.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data);
        let port = format!("port={}", self.port);
        let options = ["listen_addresses=127.0.0.1", &port, "unix_socket_directories=", "max_connections=200"];
        for option in options {
            command.args(["-c", option]);
        }
        *self.process.lock().await = Some(Process::start(&mut command, &self.log)?);
        for _ in 0..600 {
            if self.client().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("PostgreSQL did not start, see {}", self.log.display())
    }

    /// Stops the server: `INT` is a fast shutdown, `QUIT` an immediate one, which causes crash recovery at the next start.
    pub(crate) async fn stop(&self, signal: Signal) {
        if let Some(mut process) = self.process.lock().await.take() {
            process.stop(signal, Duration::from_secs(20)).await;
        }
    }

    /// Sends SIGSTOP or SIGCONT to all processes of the server.
    pub(crate) async fn signal_all(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_ref() {
            // The parent first: a frozen parent forks no children that would be missed.
            process.signal(signal);
            process.child_pids().into_iter().for_each(|child| send_signal(child, signal));
        }
    }

    /// Terminates all other sessions, which are those that use the proxy.
    pub(crate) async fn terminate_backends(&self) -> anyhow::Result<i64> {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        Ok(self.client().await?.query_one(sql, &[]).await?.get(0))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir("/").kill_on_drop(true);
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

fn binaries() -> Option<PathBuf> {
    let has = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).exists());
    let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    installed.sort();
    let in_path: Vec<PathBuf> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    installed.into_iter().rev().chain(in_path).find(has)
}

/// A user's uid and gid.
fn account(name: &str) -> anyhow::Result<(u32, u32)> {
    let accounts = std::fs::read_to_string("/etc/passwd")?;
    let line = accounts.lines().find(|line| line.split(':').next() == Some(name));
    let mut fields = line.context("run as root, it needs the user postgres")?.split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok()).context("a malformed account");
    Ok((number()?, number()?))
}
