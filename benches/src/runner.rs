//! Runner: measures the selected loads one after the other and collects the results.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::bench::{Bench, OVERRIDES, WARM_UP};
use crate::database::Database;
use crate::fleet::{CODE, POLL};
use crate::http_load::send_all;
use crate::interleaved::measure_interleaved;
use crate::machine;
use crate::options::{Load, Run};
use crate::overload;
use crate::pgbench::{self, Script};
use crate::report::{Report, Row};
use crate::results::Results;
use crate::wrk::{self, Terminals};

/// Measures and prints. Fails if any response was not 2xx, or, under overload, neither 2xx nor 503.
pub(crate) async fn run(options: &Run) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("a folder for the run")?;
    let database = Database::connect(&options.database_url).await?;
    let connections = Some(options.connections);
    let mut results = Results { machine: machine::description(), connections, ..Results::default() };
    results.machine.push(database.description().await?);
    results.machine.extend(non_default_settings(pos_server::settings::process_environment().map(|(name, _)| name)));
    results.machine.push(format!("load before {}", machine::load_average()));
    results.machine.extend(options.peers.is_some().then(machine::runtimes));
    results.machine.push(options.summary());
    println!("{}\n", results.machine.join("\n"));
    let mut bench = Bench::start(options, folder.path(), database).await?;
    let outcome = bench.measure(&mut results).await;
    results.machine.push(format!("load after  {}", machine::load_average()));
    // Partial results too, if the run was interrupted.
    if let Some(file) = &options.json {
        results.write(file)?;
    }
    outcome?;
    print!("{results}");
    // Last, because under overload the server rejects requests.
    if options.only.contains(&Load::Overload) {
        eprintln!("measuring {} …", Load::Overload);
        let outcome = overload::run(&mut bench.server, bench.fleet, options, &mut results.overload).await;
        if let Some(file) = &options.json {
            results.write(file)?;
        }
        outcome?;
        println!("broken under overload: {}", results.broken());
    }
    Ok(if results.failed() + results.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Bench<'_> {
    /// Measures all selected loads except overload, and the server's own count of rejected requests.
    async fn measure(&mut self, results: &mut Results) -> anyhow::Result<()> {
        for load in Load::ALL {
            if load == Load::Tables
                && let Some(peers) = &self.options.peers
            {
                results.peers = self.peers(peers).await?;
            }
            if !self.options.only.contains(&load) {
                continue;
            }
            eprintln!("measuring {load} …");
            match load {
                Load::Polls => self.polls(&mut results.report).await?,
                Load::Batching => self.batching(&mut results.report).await?,
                Load::Codes => self.codes(&mut results.report).await?,
                Load::Claims => self.claims(&mut results.report).await?,
                Load::Sqlite => self.sqlite(&mut results.report).await?,
                Load::Imports => self.imports(&mut results.report).await?,
                Load::Portals => self.portals(&mut results.report).await?,
                Load::Tables => self.tables(&mut results.connection_matrix).await?,
                Load::Overload => {}
            }
        }
        results.refused = self.refused().await?;
        Ok(())
    }

    async fn polls(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, .. } = *self;
        self.issue_codes().await?;
        wrk::run(&mut self.baseline, POLL, WARM_UP, options, folder).await?;
        wrk::run(&mut self.server, POLL, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            let terminals = Terminals::of(options);
            let servers = [(&mut self.baseline, terminals), (&mut self.server, terminals)];
            let measurements = measure_interleaved(servers, options.seconds, folder).await?;
            let rows = [Row::BaselinePolls, Row::Polls];
            rows.into_iter().zip(measurements).for_each(|(row, measurement)| report.add(row, measurement));
            let reference = pgbench::run(Script::FindDevice, options.duration(), options, folder).await?;
            report.add(Row::PgPolls, reference);
        }
        Ok(())
    }

    async fn codes(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, .. } = *self;
        let length = options.duration();
        wrk::run(&mut self.server, CODE, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            self.reset_codes().await?;
            let before = self.database.codes_issued().await?;
            let theirs = pgbench::run(Script::IssueCode, length, options, folder).await?;
            // pgbench also counts writes that lost a race for the same device and changed nothing.
            let written = self.database.codes_issued().await? - before;
            report.add(Row::PgCodes, theirs.limited_to(written));
            self.reset_codes().await?;
            let before = self.database.codes_issued().await?;
            let ours = wrk::run(&mut self.server, CODE, length, options, folder).await?;
            let written = self.database.codes_issued().await? - before;
            anyhow::ensure!(written >= ours.answered, "{} codes were returned, {written} stored", ours.answered);
            report.add(Row::Codes, ours);
        }
        Ok(())
    }

    async fn claims(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, fleet, .. } = *self;
        let warm_up = self.portal.claim(&mut self.server, fleet, fleet.warm_up(), options).await?;
        anyhow::ensure!(warm_up.failed == 0, "claims fail");
        for repetition in 0..options.repetitions {
            let (theirs, ours) = (fleet.claimed(2 * repetition), fleet.claimed(2 * repetition + 1));
            self.reset_codes().await?;
            self.database.assign_codes(theirs.clone()).await?;
            self.database.vacuum_and_checkpoint().await?;
            let script = Script::Claim { first: theirs.start };
            report.add(Row::PgClaims, pgbench::run(script, Duration::ZERO, options, folder).await?);
            self.reset_codes().await?;
            report.add(Row::Claims, self.portal.claim(&mut self.server, fleet, ours.clone(), options).await?);
            for devices in [theirs, ours] {
                let claimed = self.database.claimed(devices).await?;
                let expected = options.total_claims();
                anyhow::ensure!(claimed == i64::from(expected), "{claimed} devices are claimed instead of {expected}");
            }
        }
        Ok(())
    }

    async fn reset_codes(&self) -> anyhow::Result<()> {
        self.database.remove_codes().await?;
        self.database.vacuum_and_checkpoint().await
    }

    /// How many responses other than 2xx the server has counted since its start.
    async fn refused(&self) -> anyhow::Result<u64> {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        let outcome = send_all(self.server.address, 1, vec![request]).await?.ensure_success("requests for metrics")?;
        let text: Vec<u8> = outcome.responses.into_iter().flat_map(|response| response.body).collect();
        refused(&String::from_utf8_lossy(&text)).context("the metrics cannot be parsed")
    }
}

/// A line for each non-default setting: those of the run with their values, and those of the environment by name only,
/// because their values may be secrets. The run's settings override the environment.
fn non_default_settings(environment: impl Iterator<Item = String>) -> Vec<String> {
    let ours = OVERRIDES.iter().map(|(name, value)| format!("non-default setting: {name}={value}"));
    let theirs = environment.filter(|name| OVERRIDES.iter().all(|(overridden, _)| overridden != name));
    ours.chain(theirs.map(|name| format!("non-default setting: {name} is set"))).collect()
}

fn refused(metrics: &str) -> Option<u64> {
    let mut lines = metrics.lines().filter(|line| line.starts_with("pos_http_requests_total{")).peekable();
    lines.peek()?;
    lines.filter(|line| !line.contains("status=\"2")).map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::{OVERRIDES, non_default_settings, refused};

    #[test]
    fn non_default_settings_are_listed_with_our_values_and_other_names() {
        let environment = ["POS__DATABASE__URL", "POS__LIMITS__DEVICE_BURST"].map(str::to_owned);
        let lines = non_default_settings(environment.into_iter());
        assert_eq!(lines.len(), OVERRIDES.len() + 1);
        assert!(lines.contains(&"non-default setting: POS__LIMITS__DEVICE_BURST=1000000".to_owned()), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("non-default setting: POS__DATABASE__URL is set"));
    }

    #[test]
    fn responses_other_than_2xx_are_summed() {
        let metrics = "# TYPE pos_http_requests_total counter\n\
            pos_http_requests_total{method=\"GET\",route=\"/pos/status\",status=\"200\"} 90\n\
            pos_http_requests_total{method=\"GET\",route=\"/pos/status\",status=\"404\"} 3\n\
            pos_http_requests_total{method=\"POST\",route=\"/pos/claim\",status=\"503\"} 4\n";
        assert_eq!(refused(metrics), Some(7));
        assert_eq!(refused("pos_http_requests_total{status=\"200\"} 1\n"), Some(0));
        assert_eq!(refused("something else"), None);
    }
}
