//! Child processes: start, signals, resource usage, and cleanup when this process exits.

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

/// A running process with its output in a file. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    /// The task that copies standard error to the log, if it is a pipe.
    log_task: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts the process in its own process group, so that Ctrl-C at the terminal only reaches this program.
    pub(crate) fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("a log file")?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("no process id")?;
        Ok(Self { child, pid, log_task: None })
    }

    /// Like [`Self::start`], with standard error as a pipe that is not read while `stalled` is true.
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
        Ok(Self { child, pid, log_task: Some(log_pipe::copy(pipe, log, stalled)) })
    }

    /// Waits until the log contains everything that the process wrote before it exited.
    pub(crate) async fn flush_log(&mut self) {
        if let Some(log_task) = self.log_task.take() {
            let _ = tokio::time::timeout(Duration::from_secs(5), log_task).await;
        }
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn has_succeeded(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(status)) if status.success())
    }

    /// Sends SIGKILL, and waits for the exit.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send_signal(self.pid, signal);
    }

    /// Sends a signal that ends the process, and kills it after `timeout`.
    pub(crate) async fn stop(&mut self, signal: Signal, timeout: Duration) {
        self.signal(signal);
        if tokio::time::timeout(timeout, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Resident memory and open files.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid))?.count();
        Ok(Usage { memory_mib: kib / 1024, files })
    }

    /// The process ids of its direct children.
    pub(crate) fn child_pids(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        fs::read_to_string(path).unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }
}

/// Resources of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Usage {
    pub(crate) memory_mib: u64,
    pub(crate) files: usize,
}

/// Sends a signal, and ignores processes that no longer exist.
pub(crate) fn send_signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
