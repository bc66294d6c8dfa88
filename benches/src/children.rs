//! The processes under measurement: started in a session of their own, and gone when this process is.

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

/// A process that listens. It ends when this is dropped, however that comes about: its standard input ends then.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pid: u32,
    child: Child,
    /// Whether the process itself is only a shell that holds the ones that answer.
    only_holds: bool,
    tether: Option<ChildStdin>,
}

/// Runs a program and ends all of its session when standard input does, however that comes about. Not everybody's
/// server ends itself then, and some start more processes.
const HOLDER: &str = r#""$@" </dev/null & read -r _; kill -KILL 0"#;

/// How long another's server may take to start; a Java one does take its time on a busy machine.
const PEER_PATIENCE: Duration = Duration::from_secs(180);

impl Listening {
    /// Starts this program again as `role`, with `variables` set, and waits until it listens.
    pub(crate) async fn start(role: &str, folder: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(role, role, folder, variables).await
    }

    /// The same for one of several of a role, each with a name of its own for its files.
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
        let (pid, tether) = (child.id().context("no process id")?, child.stdin.take());
        for _ in 0..500 {
            if let Ok(address) = fs::read_to_string(&port_file) {
                let address = address.trim().parse().context("the address file")?;
                return Ok(Self { address, pid, child, only_holds: false, tether });
            }
            if child.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        anyhow::bail!("{role} did not start: {}", log.trim())
    }

    /// Starts somebody else's server, which writes its address into the file that `PORT_FILE` names, or listens at
    /// `known`, and waits until it accepts connections.
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
        command.args(["sh", "-c", HOLDER, "sh"]).args(program).envs(variables.iter().copied());
        command.env("PORT_FILE", &port_file).stdin(Stdio::piped()).stdout(log).stderr(errors);
        let mut child = command.spawn().context("cannot start a peer")?;
        let (pid, tether) = (child.id().context("no process id")?, child.stdin.take());
        let until = Instant::now() + PEER_PATIENCE;
        while Instant::now() < until {
            let written = || fs::read_to_string(&port_file).ok()?.trim().parse().ok();
            if let Some(address) = known.or_else(written)
                && TcpStream::connect(address).await.is_ok()
            {
                return Ok(Self { address, pid, child, only_holds: true, tether });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            if machine::followers(pid)?.is_empty() && !port_file.exists() {
                break;
            }
        }
        drop(tether);
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        let last = log.lines().rev().take(3).collect::<Vec<_>>();
        anyhow::bail!("did not start: {}", last.into_iter().rev().collect::<Vec<_>>().join(" "))
    }

    /// Ends it and waits until it is gone, so that the next one has the machine to itself.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.tether.take());
        timeout(Duration::from_secs(30), self.child.wait()).await.context("a server does not end")??;
        Ok(())
    }

    /// Fails when the process has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.pids()?.is_empty(), "a server ended during the measurement");
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("a server ended during the measurement: {status}"),
        }
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of_all(&self.pids()?)
    }

    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of_all(&self.pids()?)
    }

    /// The processes that answer.
    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        if self.only_holds { machine::followers(self.pid) } else { Ok(vec![self.pid]) }
    }
}

/// A command that runs in a session of its own. Linux shares the processors out by session where autogrouping is on, and
/// a client in its server's session would take the server's share. `setsid` becomes the program, so the process id stays.
pub(crate) fn in_own_session(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program).kill_on_drop(true);
    command
}

/// The child's side of [`Listening`]: ends the process when the parent closes its end, or is gone.
pub(crate) fn end_with_standard_input() {
    std::thread::spawn(|| {
        let ended = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(i32::from(ended.is_err()));
    });
}

/// Whole or not at all, so that the parent never reads half an address.
pub(crate) fn write_address(port_file: &Path, address: SocketAddr) -> io::Result<()> {
    let draft = port_file.with_extension("draft");
    fs::write(&draft, address.to_string())?;
    fs::rename(draft, port_file)
}

/// The server, by the code that `pos-server serve` runs.
pub(crate) async fn serve(port_file: PathBuf) -> anyhow::Result<ExitCode> {
    end_with_standard_input();
    let serve = Serve { port_file: Some(port_file), no_migrate: true };
    pos_server::commands::run(Cli { config: None, command: ServerCommand::Serve(serve) }).await
}
