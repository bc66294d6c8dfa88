//! The processes under measurement: started in a session of their own, and gone when this process is.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use pos_server::cli::{Cli, Command as ServerCommand, Serve};
use tokio::process::{Child, ChildStdin, Command};

use crate::machine::{CpuTime, Memory};

/// A process that listens. It ends when this is dropped, however that comes about: its standard input ends then.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    pid: u32,
    child: Child,
    _tether: Option<ChildStdin>,
}

impl Listening {
    /// Starts this program again as `role`, with `variables` set, and waits until it listens.
    pub(crate) async fn start(role: &str, folder: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (port_file, log_file) = (folder.join(format!("{role}.address")), folder.join(format!("{role}.log")));
        let program = std::env::current_exe().context("this program's own file")?;
        let mut command = in_own_session(&program);
        command.arg(role).arg("--port-file").arg(&port_file).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(&log_file)?);
        let mut child = command.spawn().with_context(|| format!("cannot start {role}"))?;
        let (pid, tether) = (child.id().context("no process id")?, child.stdin.take());
        for _ in 0..500 {
            if let Ok(address) = fs::read_to_string(&port_file) {
                let address = address.trim().parse().context("the address file")?;
                return Ok(Self { address, pid, child, _tether: tether });
            }
            if child.try_wait()?.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        let log = fs::read_to_string(&log_file).unwrap_or_default();
        anyhow::bail!("{role} did not start: {}", log.trim())
    }

    /// Fails when the process has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => anyhow::bail!("a server ended during the measurement: {status}"),
        }
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.pid)
    }

    pub(crate) fn cpu_time(&self) -> anyhow::Result<CpuTime> {
        CpuTime::of(self.pid)
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
