//! Processes of ours: started, killed, frozen, and gone when this one is.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log_pipe;

/// A running process, with its output in a file. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    /// What copies its standard error to the log, if that goes through a pipe.
    copying: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts it in a session of its own, so that a Ctrl-C at the terminal is for us alone.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("a log file")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("no process id")?;
        Ok(Self { child, pid, copying: None })
    }

    /// The same with standard error through a pipe, which is not read while `stalled` is true.
    pub(crate) fn start_piped(
        command: &mut Command,
        log: &Path,
        stalled: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("a log file")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("no process id")?;
        let pipe = child.stderr.take().context("no pipe")?;
        Ok(Self { child, pid, copying: Some(log_pipe::copy(pipe, log, stalled)) })
    }

    /// Waits until all that it wrote to its log before it ended is there.
    pub(crate) async fn log_is_whole(&mut self) {
        if let Some(copying) = self.copying.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), copying).await;
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn has_ended_well(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(status)) if status.success())
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Any signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid, signal);
    }

    /// Asks it to end, and sees to it after `patience`.
    pub(crate) async fn end(&mut self, signal: Signal, patience: Duration) {
        self.signal(signal);
        if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Memory in use and open files.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid))?.count();
        Ok(Usage { memory_mib: kib / 1024, files })
    }

    /// The processes that this one started, directly.
    pub(crate) fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        fs::read_to_string(path).unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

/// What a process takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Usage {
    pub(crate) memory_mib: u64,
    pub(crate) files: usize,
}

/// Sends a signal; a process that is gone already needs none.
pub(crate) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
