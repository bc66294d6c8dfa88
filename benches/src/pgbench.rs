//! Reference measurements of PostgreSQL alone: `pgbench` with the server's statements and the same number of clients.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::time::timeout;

use crate::fleet::FIRST;
use crate::measurement::{Latency, Measurement};
use crate::options::Run;
use crate::processes::in_own_session;

/// A pgbench script.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    /// One `SELECT` by primary key.
    FindDevice,
    /// The statement that saves a new code.
    IssueCode,
    /// The statements of a claim, for devices from this number on.
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

    /// The arguments for the script: claims run for a number of transactions, the others for a time.
    fn arguments(self, length: Duration, options: &Run) -> Vec<String> {
        let define = |name: &str, value: u32| format!("--define={name}={value}");
        match self {
            Self::FindDevice | Self::IssueCode => {
                vec![format!("--time={}", length.as_secs()), define("first", FIRST), define("devices", options.devices)]
            }
            Self::Claim { first } => vec![
                format!("--transactions={}", options.claims_per_client()),
                define("i", 0),
                define("first", first),
                define("each", options.claims_per_client()),
                define("claimants", options.claimants),
            ],
        }
    }
}

/// Runs a script for `length`, or for the number of claims.
pub(crate) async fn run(script: Script, length: Duration, options: &Run, folder: &Path) -> anyhow::Result<Measurement> {
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
        timeout(length + Duration::from_secs(300), command.output()).await.context("pgbench did not exit")??;
    let elapsed = started.elapsed();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let summary = Summary::parse(&text).filter(|_| output.status.success());
    // All clients report the same errors, so the first lines suffice.
    let summary = summary.with_context(|| {
        let first = errors.lines().take(3).collect::<Vec<_>>().join("; ");
        format!("pgbench ended with {}: {first}", output.status)
    })?;
    Ok(Measurement {
        answered: summary.processed,
        failed: summary.failed,
        elapsed: summary.elapsed().unwrap_or(elapsed),
        latency: Latency::of(latencies(logs.path())?),
        cpu: None,
        memory: None,
    })
}

/// The summary that pgbench prints.
struct Summary {
    processed: u64,
    failed: u64,
    /// Transactions a second, without the time to connect.
    rate: f64,
}

impl Summary {
    fn parse(text: &str) -> Option<Self> {
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

/// Latencies from the transaction logs, which contain a tenth of the transactions. The third field is in microseconds.
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
    fn summaries_by_time_and_by_count_are_parsed() {
        let timed = "number of transactions actually processed: 120\nnumber of failed transactions: 3 (2.500%)\n\
                     tps = 60.000000 (without initial connection time)\n";
        let summary = Summary::parse(timed).unwrap();
        assert_eq!((summary.processed, summary.failed, summary.elapsed()), (120, 3, Some(Duration::from_secs(2))));
        let counted = "number of transactions actually processed: 40/40\ntps = 80.000000 (without initial …)\n";
        let summary = Summary::parse(counted).unwrap();
        assert_eq!((summary.processed, summary.failed, summary.elapsed()), (40, 0, Some(Duration::from_millis(500))));
        assert!(Summary::parse("pgbench: error: connection refused").is_none());
    }
}
