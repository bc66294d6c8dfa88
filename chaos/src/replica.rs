//! One server, which is killed and started again at the same address.

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

/// How long after a start or a kill connections may still be to a process that is gone.
const STALE: Instant = SECOND;

/// How a server is started.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) program: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) log: PathBuf,
    /// libfaketime, for a clock that is off.
    pub(crate) faketime: Option<PathBuf>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) url: String,
    port: u16,
    recipe: Recipe,
    process: tokio::sync::Mutex<Option<Process>>,
    past: Mutex<Past>,
    stalled: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Past {
    /// When it was away: from the kill until it was seen to answer.
    down: Vec<(Instant, Option<Instant>)>,
    /// Its clock's skew, from when on.
    skews: Vec<(Instant, Instant)>,
    deaths: u64,
}

impl Replica {
    pub(crate) fn new(name: &str, port: u16, recipe: Recipe) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        let past = Past { down: vec![(now(), None)], ..Past::default() };
        let (stalled, _) = watch::channel(false);
        Self { name: name.to_owned(), url, port, recipe, process: Default::default(), past: Mutex::new(past), stalled }
    }

    /// Starts it with its clock so many seconds off, and waits until it listens.
    pub(crate) async fn start(&self, skew_secs: i64) -> anyhow::Result<()> {
        let mut command = Command::new(&self.recipe.program);
        command.arg("serve").envs(self.recipe.settings.iter().map(|(key, value)| (key, value)));
        command.env("POS__HTTP__BIND", format!("127.0.0.1:{}", self.port));
        if skew_secs != 0 {
            let library = self.recipe.faketime.as_ref().context("no libfaketime here")?;
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{skew_secs:+}"));
            // Waits are not to be longer or shorter: only the time of day is off.
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        self.past(|past| past.skews.push((now(), skew_secs * SECOND)));
        let mut process = self.process.lock().await;
        if let Some(before) = process.as_mut() {
            before.kill().await;
        }
        *process = Some(Process::start_piped(&mut command, &self.recipe.log, self.stalled.subscribe())?);
        for _ in 0..1_200 {
            if self.is_live().await {
                self.past(|past| past.down.iter_mut().for_each(|(_, until)| *until = until.or(Some(now()))));
                return Ok(());
            }
            // It ends when its database is away as it starts: whoever supervises it starts it again.
            if process.as_mut().is_none_or(Process::has_ended) {
                *process = Some(Process::start_piped(&mut command, &self.recipe.log, self.stalled.subscribe())?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("{} does not listen", self.name)
    }

    async fn is_live(&self) -> bool {
        if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            return false;
        }
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build();
        let Ok(client) = client else { return false };
        client.get(format!("{}/health/live", self.url)).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) {
        let mut process = self.process.lock().await;
        self.past(|past| {
            past.down.push((now(), None));
            past.deaths += 1;
        });
        if let Some(process) = process.as_mut() {
            process.kill().await;
        }
    }

    /// Any other signal.
    pub(crate) async fn signal(&self, signal: Signal) {
        if let Some(process) = self.process.lock().await.as_ref() {
            process.signal(signal);
        }
    }

    /// Whether nobody reads its log.
    pub(crate) fn stall_log(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }

    /// Lines of its log, over all its lives, that tell of a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.recipe.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
    }

    /// SIGTERM, as at the end of the day; true when it ended by itself, and well.
    pub(crate) async fn stop(&self) -> bool {
        let mut process = self.process.lock().await;
        self.past(|past| past.down.push((now(), None)));
        let Some(process) = process.as_mut() else { return true };
        process.signal(Signal::TERM);
        for _ in 0..400 {
            if process.has_ended() {
                process.log_is_whole().await;
                return process.has_ended_well();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process.kill().await;
        false
    }

    /// What the process takes now.
    pub(crate) async fn usage(&self) -> anyhow::Result<Usage> {
        self.process.lock().await.as_ref().context("not running")?.usage()
    }

    /// Whether it has ended without being told to.
    pub(crate) async fn has_crashed(&self) -> bool {
        self.process.lock().await.as_mut().is_none_or(Process::has_ended)
    }

    /// How often it was killed.
    pub(crate) fn deaths(&self) -> u64 {
        self.past(|past| past.deaths)
    }

    /// Whether it was away at any time since `sent`.
    pub(crate) fn was_down(&self, sent: Instant) -> bool {
        self.past(|past| past.down.iter().any(|(_, until)| until.is_none_or(|until| until + STALE >= sent)))
    }

    /// By how much its clock was off since `sent`.
    pub(crate) fn skew(&self, sent: Instant) -> Skew {
        self.past(|past| {
            let before = past.skews.iter().rev().find(|(from, _)| *from <= sent).map(|(_, skew)| *skew);
            let since = past.skews.iter().filter(|(from, _)| *from > sent).map(|(_, skew)| *skew);
            let all: Vec<_> = before.into_iter().chain(since).collect();
            Skew {
                least: all.iter().min().copied().unwrap_or_default(),
                most: all.iter().max().copied().unwrap_or_default(),
            }
        })
    }

    fn past<T>(&self, look: impl FnOnce(&mut Past) -> T) -> T {
        look(&mut self.past.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
