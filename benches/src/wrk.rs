//! Load generator `wrk`, with requests of random devices.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::timeout;

use crate::fleet::FIRST;
use crate::measurement::{Latency, Measurement};
use crate::options::Run;
use crate::processes::{ServerProcess, in_own_session};

const SCRIPT: &str = include_str!("../lua/terminal.lua");

/// Sends `method path` from random devices to `server` for `length`.
pub(crate) async fn run(
    server: &mut ServerProcess,
    (method, path): (&str, &str),
    length: Duration,
    options: &Run,
    folder: &Path,
) -> anyhow::Result<Measurement> {
    run_terminals(server, (method, path), length, Terminals::of(options), folder).await
}

/// The simulated terminals.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminals {
    pub(crate) connections: u32,
    /// The number in the first device's id.
    pub(crate) first: u32,
    pub(crate) devices: u32,
    /// Seed of the random sequence of devices.
    pub(crate) seed: u32,
}

impl Terminals {
    pub(crate) fn new(connections: u32, first: u32, devices: u32) -> Self {
        Self { connections, first, devices, seed: new_seed() }
    }

    /// The terminals of a run, for all loads except its tables.
    pub(crate) fn of(options: &Run) -> Self {
        Self::new(options.connections, FIRST, options.devices)
    }
}

/// A different seed with each call.
pub(crate) fn new_seed() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    std::process::id().wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Sends `method path` from random devices of `terminals` for `length`.
pub(crate) async fn run_terminals(
    server: &mut ServerProcess,
    (method, path): (&str, &str),
    length: Duration,
    Terminals { connections, first, devices, seed }: Terminals,
    folder: &Path,
) -> anyhow::Result<Measurement> {
    let (first, devices, seed) = (first.to_string(), devices.to_string(), seed.to_string());
    let script = ("terminal.lua", SCRIPT);
    run_script(server, script, &[method, path, &first, &devices, &seed], length, connections, folder).await
}

/// Runs a Lua script, which prints a summary line that starts with `MEASURED`.
pub(crate) async fn run_script(
    server: &mut ServerProcess,
    (name, text): (&str, &str),
    arguments: &[&str],
    length: Duration,
    connections: u32,
    folder: &Path,
) -> anyhow::Result<Measurement> {
    let script = folder.join(name);
    std::fs::write(&script, text)?;
    let threads = connections.min(2);
    let cpu_before = server.cpu_time()?;
    let mut command = in_own_session("wrk");
    command
        .arg(format!("--threads={threads}"))
        .arg(format!("--connections={connections}"))
        .arg(format!("--duration={}s", length.as_secs()))
        .arg("--timeout=10s")
        .arg("--script")
        .arg(&script)
        .arg(format!("http://{}", server.address))
        .arg("--")
        .args(arguments)
        .stdin(Stdio::null());
    let output = timeout(length + Duration::from_secs(60), command.output()).await.context("wrk did not exit")??;
    let cpu = server.cpu_time()?.since(cpu_before);
    server.check_alive()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = Summary::parse(&text).with_context(|| {
        format!("wrk ended with {}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(Measurement {
        answered: summary.requests,
        failed: summary.refused + summary.broken,
        elapsed: Duration::from_micros(summary.micros),
        latency: Some(Latency { p50: Duration::from_micros(summary.p50), p99: Duration::from_micros(summary.p99) }),
        cpu: Some(cpu),
        memory: Some(server.memory()?),
    })
}

/// The script's summary line.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    requests: u64,
    micros: u64,
    refused: u64,
    broken: u64,
    p50: u64,
    p99: u64,
}

impl Summary {
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("MEASURED "))?;
        let field = |name: &str| {
            let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields.find(|(key, _)| *key == name)?.1.parse().ok()
        };
        Some(Self {
            requests: field("requests")?,
            micros: field("micros")?,
            refused: field("refused")?,
            broken: field("broken")?,
            p50: field("p50")?,
            p99: field("p99")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_summary_line_is_parsed_and_a_truncated_line_is_rejected() {
        let text = "Running 1s test\nMEASURED requests=9 micros=8 refused=7 broken=6 p50=5 p99=4\n";
        let summary = Summary { requests: 9, micros: 8, refused: 7, broken: 6, p50: 5, p99: 4 };
        assert_eq!(Summary::parse(text), Some(summary));
        assert_eq!(Summary::parse("MEASURED requests=9 micros=8"), None);
        assert_eq!(Summary::parse(""), None);
    }
}
