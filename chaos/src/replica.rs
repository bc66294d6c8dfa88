//! Server process that is killed and restarted on the same address, with its downtimes and clock skews.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::sync::watch;

use crate::model::{Instant, SECOND, Skew};
use crate::process::{Process, Usage};
use crate::time::now;

/// How long after a start or a kill connections may still belong to the former process.
const STALE: Instant = SECOND;

/// How to start a server.
#[derive(Debug, Clone)]
pub(crate) struct LaunchConfig {
    pub(crate) program: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    /// The path of libfaketime, for clock skew.
    pub(crate) faketime: Option<PathBuf>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) url: String,
    port: u16,
    launch: LaunchConfig,
    process: tokio::sync::Mutex<Option<Process>>,
    lifecycle: Mutex<Lifecycle>,
    stalled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Lifecycle {
    /// Downtimes: from the kill until the first response.
    down: Vec<(Instant, Option<Instant>)>,
    /// Clock skews: since when, and how much.
    skews: Vec<(Instant, Instant)>,
    kills: u64,
}

impl Replica {
    pub(crate) fn new(name: &str, port: u16, launch: LaunchConfig) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        let lifecycle = Mutex::new(Lifecycle { down: vec![(now(), None)], ..Lifecycle::default() });
        let (stalled, _) = watch::channel(false);
        Self { name: name.to_owned(), url, port, launch, process: Default::default(), lifecycle, stalled }
    }

    /// Starts the server with the given clock skew, and waits until it responds.
    pub(crate) async fn start(&self, skew_secs: i64) -> anyhow::Result<()> {
        let mut command = Command::new(&self.launch.program);
        command.arg("serve").envs(self.launch.settings.iter().map(|(key, value)| (key, value)));
        command.env("POS__HTTP__BIND", format!("127.0.0.1:{}", self.port));
        if skew_secs != 0 {
            let library = self.launch.faketime.as_ref().context("no libfaketime here")?;
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{skew_secs:+}"));
            // The monotonic clock stays correct, so that timeouts are not affected.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        self.with_lifecycle(|lifecycle| lifecycle.skews.push((now(), skew_secs * SECOND)));
        let mut process = self.process.lock().await;
        if let Some(before) = process.as_mut() {
            before.kill().await;
        }
        *process = Some(Process::start_piped(&mut command, &self.launch.log, self.stalled.subscribe())?);
        for _ in 0..1_200 {
            if self.is_live().await {
                let end_downtime = |(_, until): &mut (Instant, Option<Instant>)| *until = until.or(Some(now()));
                self.with_lifecycle(|lifecycle| lifecycle.down.iter_mut().for_each(end_downtime));
                return Ok(());
            }
            // It exits if its database is down at start. It is then restarted, as a supervisor would do.
            if process.as_mut().is_none_or(Process::has_exited) {
                *process = Some(Process::start_piped(&mut command, &self.launch.log, self.stalled.subscribe())?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{} does not respond", self.name)
    }

    async fn is_live(&self) -> bool {
        if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            return false;
        }
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build();
        let Ok(client) = client else { return false };
        client.get(format!("{}/health/live", self.url)).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Sends SIGKILL, and waits for the exit.
    pub(crate) async fn kill(&self) {
        let mut process = self.process.lock().await;
        self.with_lifecycle(|lifecycle| {
            lifecycle.down.push((now(), None));
            lifecycle.kills += 1;
        });
        if let Some(process) = process.as_mut() {
            process.kill().await;
        }
    }

    /// Sends a signal other than SIGKILL.
    pub(crate) async fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.signal(signal);
        }
    }

    /// Stops or resumes reading its log pipe.
    pub(crate) fn stall_log(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Log lines of all its processes that report a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.launch.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
    }

    /// Sends SIGTERM; true if the process exits successfully within 20 s.
    pub(crate) async fn stop(&self) -> bool {
        let mut process = self.process.lock().await;
        self.with_lifecycle(|lifecycle| lifecycle.down.push((now(), None)));
        let Some(process) = process.as_mut() else { return true };
        process.signal(Signal::TERM);
        for _ in 0..400 {
            if process.has_exited() {
                process.flush_log().await;
                return process.has_succeeded();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process.kill().await;
        false
    }

    /// The current resource usage of the process.
    pub(crate) async fn usage(&self) -> anyhow::Result<Usage> {
        self.process.lock().await.as_ref().context("not running")?.usage()
    }

    /// Whether the process has exited. It has crashed if it was not down on purpose.
    pub(crate) async fn has_crashed(&self) -> bool {
        self.process.lock().await.as_mut().is_none_or(Process::has_exited)
    }

    /// How often it was killed.
    pub(crate) fn kills(&self) -> u64 {
        self.with_lifecycle(|lifecycle| lifecycle.kills)
    }

    /// Whether it was down at any time since `sent`.
    pub(crate) fn was_down(&self, sent: Instant) -> bool {
        let overlaps = |(_, until): &(Instant, Option<Instant>)| until.is_none_or(|until| until + STALE >= sent);
        self.with_lifecycle(|lifecycle| lifecycle.down.iter().any(overlaps))
    }

    /// The range of its clock skew since `sent`.
    pub(crate) fn skew(&self, sent: Instant) -> Skew {
        self.with_lifecycle(|lifecycle| {
            let before = lifecycle.skews.iter().rev().find(|(from, _)| *from <= sent).map(|(_, skew)| *skew);
            let since = lifecycle.skews.iter().filter(|(from, _)| *from > sent).map(|(_, skew)| *skew);
            let all: Vec<_> = before.into_iter().chain(since).collect();
            Skew {
                least: all.iter().min().copied().unwrap_or_default(),
                most: all.iter().max().copied().unwrap_or_default(),
            }
        })
    }

    fn with_lifecycle<T>(&self, access: impl FnOnce(&mut Lifecycle) -> T) -> T {
        access(&mut self.lifecycle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
