//! Server processes under measurement: each runs in its own session and ends when this process exits.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use pos_server::cli::{Cli, Command as ServerCommand, Serve};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::machine::{self, CpuTime, Memory};

/// A listening server process. Dropping it closes the process's standard input, which ends it.
pub(crate) struct ServerProcess {
    pub(crate) address: SocketAddr,
    pid: u32,
    child: Child,
    /// Whether the child is only a shell that wraps the server's processes.
    is_wrapper: bool,
    stdin: Option<ChildStdin>,
}

/// Runs a program, and kills its whole session when standard input is closed. Peers do not exit by themselves then, and
/// some start more processes.
const WRAPPER: &str = r#""$@" </dev/null & read -r _; kill -KILL 0"#;

/// Time limit for the start of a peer; a Java server is slow on a busy machine.
const PEER_START_TIMEOUT: Duration = Duration::from_secs(180);

impl ServerProcess {
    /// Starts this program as `role`, with environment `variables`, and waits until it listens.
    pub(crate) async fn start(role: &str, folder: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(role, role, folder, variables).await
    }

    /// Like [`Self::start`], with a `name` for its files, so that a role can run several times.
    pub(crate) async fn start_as(
        name: &str,
        role: &str,
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let (port_file, log_file) = (folder.join(format!("{name}.address")), folder.join(format!("{name}.log")));
        let program = std::env::current_exe().context("this program's own file")?;
        let mut command = in_own_session(&program);
        command.arg(role).arg("--port-file").arg(&port_file).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log_file)?);
        let mut child = command.spawn().with_context(|| format!("cannot start {role}"))?;
        let (pid, stdin) = (child.id().context("no process id")?, child.stdin.take());
        for _ in 0..500 {
            if let Ok(address) = fs::read_to_string(&port_file) {
                let address = address.trim().parse().context("the address file")?;
                return Ok(Self { address, pid, child, is_wrapper: false, stdin });
            }
            if child.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        anyhow::bail!("{role} did not start: {}", log.trim())
    }

    /// Starts a peer, and waits until it accepts connections. The peer writes its address to the file `PORT_FILE`, or
    /// listens on `known`.
    pub(crate) async fn start_peer(
        program: &[&str],
        folder: &Path,
        variables: &[(&str, &str)],
        known: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let (port_file, log_file) = (folder.join("peer.address"), folder.join("peer.log"));
        fs::remove_file(&port_file).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let (log, errors) = (File::create(&log_file)?, File::options().append(true).open(&log_file)?);
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", WRAPPER, "sh"]).args(program).envs(variables.iter().copied());
        command.env("PORT_FILE", &port_file).stdin(Stdio::piped()).stdout(log).stderr(errors);
        let mut child = command.spawn().context("cannot start a peer")?;
        let (pid, stdin) = (child.id().context("no process id")?, child.stdin.take());
        let until = Instant::now() + PEER_START_TIMEOUT;
        while Instant::now() < until {
            let written = || fs::read_to_string(&port_file).ok()?.trim().parse().ok();
            if let Some(address) = known.or_else(written)
                && TcpStream::connect(address).await.is_ok()
            {
                return Ok(Self { address, pid, child, is_wrapper: true, stdin });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            if machine::session_members(pid)?.is_empty() && !port_file.exists() {
                break;
            }
        }
        drop(stdin);
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        let last = log.lines().rev().take(3).collect::<Vec<_>>();
        anyhow::bail!("did not start: {}", last.into_iter().rev().collect::<Vec<_>>().join(" "))
    }

    /// Stops the process and waits for its exit, so that it does not disturb the next measurement.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        timeout(Duration::from_secs(30), self.child.wait()).await.context("a server did not exit")??;
        Ok(())
    }

    /// Fails if the process has exited.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.pids()?.is_empty(), "a server exited during the measurement");
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("a server exited during the measurement: {status}"),
        }
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of_all(&self.pids()?)
    }

    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of_all(&self.pids()?)
    }

    /// The processes of the server.
    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        if self.is_wrapper { machine::session_members(self.pid) } else { Ok(vec![self.pid]) }
    }
}

/// A command in its own session. With autogrouping, Linux distributes CPU time by session, and a client in the server's
/// session would take the server's share. `setsid` executes the program in place, so the process id does not change.
pub(crate) fn in_own_session(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program).kill_on_drop(true);
    command
}

/// Called in the child: exits the process when the parent closes standard input or exits.
pub(crate) fn exit_when_stdin_closes() {
    std::thread::spawn(|| {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(i32::from(ended.is_err()));
    });
}

/// Writes the file atomically, so that the parent never reads a partial address.
pub(crate) fn write_address(port_file: &Path, address: SocketAddr) -> io::Result<()> {
    let draft = port_file.with_extension("draft");
    fs::write(&draft, address.to_string())?;
    fs::rename(draft, port_file)
}

/// Runs the server, as `pos-server serve` does.
pub(crate) async fn serve(port_file: PathBuf) -> anyhow::Result<ExitCode> {
    exit_when_stdin_closes();
    let serve = Serve { port_file: Some(port_file), no_migrate: true };
    pos_server::commands::run(Cli { config: None, command: ServerCommand::Serve(serve) }).await
}
