//! The references that are PostgreSQL alone: `pgbench` with the same statements and as many clients.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::timeout;

use crate::children::in_own_session;
use crate::fleet::FIRST;
use crate::options::Run;
use crate::sample::{Latency, Sample};

/// A script of pgbench.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// One `SELECT` by primary key.
    FindDevice,
    /// The write of a new code.
    IssueCode,
    /// The statements of a claim, for the devices from this number on.
    Claim { first: u32 },
}

impl Script {
    fn text(self) -> &'static str {
        match self {
            Self::FindDevice => include_str!("../sql/find_device.sql"),
            Self::IssueCode => include_str!("../sql/issue_code.sql"),
            Self::Claim { .. } => include_str!("../sql/claim.sql"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::FindDevice => "find_device.sql",
            Self::IssueCode => "issue_code.sql",
            Self::Claim { .. } => "claim.sql",
        }
    }

    /// pgbench's own way to say how long: by time, or for claims by count.
    fn arguments(self, length: Duration, options: &Run) -> Vec<String> {
        let define = |name: &str, value: u32| format!("--define={name}={value}");
        match self {
            Self::FindDevice | Self::IssueCode => {
                vec![format!("--time={}", length.as_secs()), define("first", FIRST), define("devices", options.devices)]
            }
            Self::Claim { first } => vec![
                format!("--transactions={}", options.claims_each()),
                define("i", 0),
                define("first", first),
                define("each", options.claims_each()),
                define("claimants", options.claimants),
            ],
        }
    }
}

/// Runs a script for `length`, or as often as there are claims.
pub(crate) async fn run(script: Script, length: Duration, options: &Run, folder: &Path) -> anyhow::Result<Sample> {
    let file = folder.join(script.name());
    std::fs::write(&file, script.text())?;
    let logs = tempfile::tempdir_in(folder)?;
    let mut command = in_own_session("pgbench");
    command
        .args(["--no-vacuum", "--protocol=prepared", "--log", "--sampling-rate=0.1"])
        .arg(format!("--log-prefix={}", logs.path().join("log").display()))
        .arg(format!("--client={}", options.connections))
        .arg(format!("--jobs={}", options.connections.min(2)))
        .arg("--file")
        .arg(&file)
        .args(script.arguments(length, options))
        .arg(&options.database_url)
        .stdin(Stdio::null());
    let started = Instant::now();
    let output =
        timeout(length + Duration::from_secs(300), command.output()).await.context("pgbench does not end")??;
    let elapsed = started.elapsed();
    let (text, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told = Told::read(&text).filter(|_| output.status.success());
    // Every client says the same, so the first of them will do.
    let told = told.with_context(|| {
        let first = complaints.lines().take(3).collect::<Vec<_>>().join("; ");
        format!("pgbench ended with {}: {first}", output.status)
    })?;
    Ok(Sample {
        answered: told.processed,
        failed: told.failed,
        elapsed: told.elapsed().unwrap_or(elapsed),
        latency: Latency::of(latencies(logs.path())?),
        cpu: None,
        memory: None,
    })
}

struct Told {
    processed: u64,
    failed: u64,
    /// Transactions a second, without the time to connect.
    rate: f64,
}

impl Told {
    fn read(text: &str) -> Option<Self> {
        let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).map(str::trim);
        let first = |rest: &str| rest.split([' ', '/']).next().map(str::to_owned);
        Some(Self {
            processed: first(after("number of transactions actually processed:")?)?.parse().ok()?,
            failed: first(after("number of failed transactions:").unwrap_or("0"))?.parse().ok()?,
            rate: first(after("tps =")?)?.parse().ok()?,
        })
    }

    fn elapsed(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.processed as f64 / self.rate).ok()
    }
}

/// One line for a tenth of the transactions; the third field is how long it took, in microseconds.
fn latencies(folder: &Path) -> anyhow::Result<Vec<Duration>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read_to_string(entry?.path())?;
        let micros = text.lines().filter_map(|line| line.split(' ').nth(2)?.parse().ok());
        all.extend(micros.map(Duration::from_micros));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_pgbench_counts_are_read() {
        let timed = "number of transactions actually processed: 120\nnumber of failed transactions: 3 (2.500%)\n\
                     tps = 60.000000 (without initial connection time)\n";
        let told = Told::read(timed).unwrap();
        assert_eq!((told.processed, told.failed, told.elapsed()), (120, 3, Some(Duration::from_secs(2))));
        let counted = "number of transactions actually processed: 40/40\ntps = 80.000000 (without initial …)\n";
        let told = Told::read(counted).unwrap();
        assert_eq!((told.processed, told.failed, told.elapsed()), (40, 0, Some(Duration::from_millis(500))));
        assert!(Told::read("pgbench: error: connection refused").is_none());
    }
}
