//! The run: what is measured, in which order.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::children::Listening;
use crate::claims::{AUDIENCE, Portal};
use crate::database::{DATABASE_URL, Database};
use crate::fleet::{Fleet, terminal_request};
use crate::http_load::send_all;
use crate::machine;
use crate::options::{Load, Run};
use crate::overload;
use crate::pgbench::{self, Script};
use crate::report::{Report, Row};
use crate::results::Results;
use crate::slices::in_turn;
use crate::wrk::{self, Terminals};

/// Long enough for pools to fill and statements to be prepared.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

pub(crate) const POLL: (&str, &str) = ("GET", "/pos/status");
pub(crate) const CODE: (&str, &str) = ("POST", "/pos/pairing-code");

/// Settings of the measured server that are not as shipped, besides its address, its database and its issuer.
const CHANGED: [(&str, &str); 4] = [
    // On, as shipped, but out of the way: the load polls each device far more often than a terminal does.
    ("POS__LIMITS__DEVICE_PER_MINUTE", "1000000"),
    ("POS__LIMITS__DEVICE_BURST", "1000000"),
    ("POS__LIMITS__ADDRESS_PER_MINUTE", "1000000000"),
    ("POS__LIMITS__ADDRESS_BURST", "1000000000"),
];

/// Everything that is up during a run.
pub(crate) struct Bench<'r> {
    pub(crate) options: &'r Run,
    pub(crate) folder: &'r Path,
    pub(crate) fleet: Fleet,
    pub(crate) database: Database,
    pub(crate) portal: Portal,
    /// What the server and the bare handler were started with.
    variables: Vec<(&'static str, String)>,
    pub(crate) server: Listening,
    pub(crate) bare: Listening,
    /// The server with gathering off, once it was needed.
    ungathered: Option<Listening>,
}

/// Measures and prints; fails when anything was answered other than 2xx, or, under overload, other than 2xx and 503.
pub(crate) async fn run(options: &Run) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("a folder for the run")?;
    let database = Database::connect(&options.database_url).await?;
    let connections = Some(options.connections);
    let mut results = Results { machine: machine::description(), connections, ..Results::default() };
    results.machine.push(database.description().await?);
    results.machine.extend(not_as_shipped(pos_server::settings::process_environment().map(|(name, _)| name)));
    results.machine.push(format!("load before {}", machine::load_average()));
    results.machine.extend(options.peers.is_some().then(machine::runtimes));
    results.machine.push(options.in_words());
    println!("{}\n", results.machine.join("\n"));
    let mut bench = Bench::start(options, folder.path(), database).await?;
    let outcome = bench.measure(&mut results).await;
    results.machine.push(format!("load after  {}", machine::load_average()));
    // What there is of it, also when it was cut short.
    if let Some(file) = &options.json {
        results.keep(file)?;
    }
    outcome?;
    print!("{results}");
    // Last, as it is there to be refused.
    if options.only.contains(&Load::Overload) {
        eprintln!("measuring {} …", Load::Overload);
        let outcome = overload::run(&mut bench.server, bench.fleet, options, &mut results.overload).await;
        if let Some(file) = &options.json {
            results.keep(file)?;
        }
        outcome?;
        println!("broken under overload: {}", results.broken());
    }
    Ok(if results.failed() + results.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<'r> Bench<'r> {
    async fn start(options: &'r Run, folder: &'r Path, database: Database) -> anyhow::Result<Self> {
        let fleet = Fleet::of(options);
        let url = (DATABASE_URL, options.database_url.as_str());
        database.fill(fleet).await?;
        let portal = Portal::open(options.claimants).await?;
        let own = [
            url,
            ("POS__HTTP__BIND", "127.0.0.1:0"),
            ("POS__IDENTITY__ISSUER", portal.issuer()),
            ("POS__IDENTITY__AUDIENCE", AUDIENCE),
        ];
        let variables = [own.as_slice(), &CHANGED].concat();
        let server = Listening::start("server", folder, &variables).await?;
        let bare = Listening::start("bare", folder, &variables).await?;
        let variables = variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        portal.initiate(server.address, options.connections as usize).await?;
        let bench = Self { options, folder, fleet, database, portal, variables, server, bare, ungathered: None };
        // As in the field: every terminal calls in before it polls, and what it says of itself is kept from then on.
        let calls = fleet.all().map(|device| terminal_request("POST", "/pos/bootstrap", device)).collect();
        send_all(bench.server.address, options.connections as usize, calls).await?.all_well("bootstraps")?;
        Ok(bench)
    }

    /// All that was asked for but overload, and what the server itself counted as refused.
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
                Load::Gathering => self.gathering(&mut results.report).await?,
                Load::Codes => self.codes(&mut results.report).await?,
                Load::Claims => self.claims(&mut results.report).await?,
                Load::Sqlite => self.sqlite(&mut results.report).await?,
                Load::Imports => self.imports(&mut results.report).await?,
                Load::Portals => self.portals(&mut results.report).await?,
                Load::Tables => self.tables(&mut results.grid).await?,
                Load::Overload => {}
            }
        }
        results.refused = self.refused().await?;
        Ok(())
    }

    /// A waiting code on every device that polls.
    pub(crate) async fn show_codes(&self) -> anyhow::Result<()> {
        let asking = self.fleet.polling().map(|device| terminal_request(CODE.0, CODE.1, device)).collect();
        let connections = self.options.connections as usize;
        send_all(self.server.address, connections, asking).await?.all_well("requests for codes")?;
        self.database.settle().await
    }

    /// What the server was started with, for another to be started likewise.
    pub(crate) fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The same over another database.
    pub(crate) fn variables_over<'v>(&'v self, url: &'v str) -> Vec<(&'v str, &'v str)> {
        let other = |(name, value)| (name, if name == DATABASE_URL { url } else { value });
        self.variables().into_iter().map(other).collect()
    }

    /// The same server with gathering off, and the one with it.
    pub(crate) async fn both(&mut self) -> anyhow::Result<(&mut Listening, &mut Listening)> {
        if self.ungathered.is_none() {
            let mut variables = self.variables();
            variables.push(("POS__DATABASE__GATHER", "false"));
            self.ungathered = Some(Listening::start_as("ungathered", "server", self.folder, &variables).await?);
        }
        Ok((self.ungathered.as_mut().context("the server without gathering")?, &mut self.server))
    }

    async fn polls(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, .. } = *self;
        self.show_codes().await?;
        wrk::run(&mut self.bare, POLL, WARM_UP, options, folder).await?;
        wrk::run(&mut self.server, POLL, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            let terminals = Terminals::of(options);
            let servers = [(&mut self.bare, terminals), (&mut self.server, terminals)];
            let samples = in_turn(servers, options.seconds, folder).await?;
            [Row::BarePolls, Row::Polls].into_iter().zip(samples).for_each(|(row, sample)| report.add(row, sample));
            report.add(Row::PgPolls, pgbench::run(Script::FindDevice, options.measurement(), options, folder).await?);
        }
        Ok(())
    }

    async fn codes(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, .. } = *self;
        let length = options.measurement();
        wrk::run(&mut self.server, CODE, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            self.fresh_start().await?;
            let before = self.database.codes_issued().await?;
            let theirs = pgbench::run(Script::IssueCode, length, options, folder).await?;
            // pgbench also counts the writes that came second to another client's on the same device and did nothing.
            let written = self.database.codes_issued().await? - before;
            report.add(Row::PgCodes, theirs.of_which(written));
            self.fresh_start().await?;
            let before = self.database.codes_issued().await?;
            let ours = wrk::run(&mut self.server, CODE, length, options, folder).await?;
            let written = self.database.codes_issued().await? - before;
            anyhow::ensure!(written >= ours.answered, "{} codes were answered, {written} stored", ours.answered);
            report.add(Row::Codes, ours);
        }
        Ok(())
    }

    async fn claims(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { options, folder, fleet, .. } = *self;
        let warm_up = self.portal.claim(&mut self.server, fleet, fleet.warming(), options).await?;
        anyhow::ensure!(warm_up.failed == 0, "claims fail");
        for repetition in 0..options.repetitions {
            let (theirs, ours) = (fleet.claimed(2 * repetition), fleet.claimed(2 * repetition + 1));
            self.fresh_start().await?;
            self.database.give_codes(theirs.clone()).await?;
            self.database.settle().await?;
            let script = Script::Claim { first: theirs.start };
            report.add(Row::PgClaims, pgbench::run(script, Duration::ZERO, options, folder).await?);
            self.fresh_start().await?;
            report.add(Row::Claims, self.portal.claim(&mut self.server, fleet, ours.clone(), options).await?);
            for devices in [theirs, ours] {
                let claimed = self.database.claimed(devices).await?;
                let expected = options.claims_whole();
                anyhow::ensure!(claimed == i64::from(expected), "{claimed} devices are claimed instead of {expected}");
            }
        }
        Ok(())
    }

    async fn fresh_start(&self) -> anyhow::Result<()> {
        self.database.take_codes_away().await?;
        self.database.settle().await
    }

    /// What the server itself says it answered other than 2xx, over its whole life.
    async fn refused(&self) -> anyhow::Result<u64> {
        let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
        let outcome = send_all(self.server.address, 1, vec![request]).await?.all_well("looks at the metrics")?;
        let text: Vec<u8> = outcome.answers.into_iter().flat_map(|answer| answer.body).collect();
        refused(&String::from_utf8_lossy(&text)).context("the metrics are not understood")
    }
}

/// A line for each setting that differs from what ships: those of the run with their values, and by name alone those
/// that come from outside, whose values may be secrets. The run's own win over those from outside.
fn not_as_shipped(outside: impl Iterator<Item = String>) -> Vec<String> {
    let ours = CHANGED.iter().map(|(name, value)| format!("not as shipped: {name}={value}"));
    let theirs = outside.filter(|name| CHANGED.iter().all(|(changed, _)| changed != name));
    ours.chain(theirs.map(|name| format!("not as shipped: {name} is set"))).collect()
}

fn refused(metrics: &str) -> Option<u64> {
    let mut lines = metrics.lines().filter(|line| line.starts_with("pos_http_requests_total{")).peekable();
    lines.peek()?;
    lines.filter(|line| !line.contains("status=\"2")).map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::{CHANGED, not_as_shipped, refused};

    #[test]
    fn what_is_not_as_shipped_is_told_with_our_values_and_others_names() {
        let outside = ["POS__DATABASE__URL", "POS__LIMITS__DEVICE_BURST"].map(str::to_owned);
        let lines = not_as_shipped(outside.into_iter());
        assert_eq!(lines.len(), CHANGED.len() + 1);
        assert!(lines.contains(&"not as shipped: POS__LIMITS__DEVICE_BURST=1000000".to_owned()), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("not as shipped: POS__DATABASE__URL is set"));
    }

    #[test]
    fn what_was_not_2xx_is_summed() {
        let metrics = "# TYPE pos_http_requests_total counter\n\
            pos_http_requests_total{method=\"GET\",route=\"/pos/status\",status=\"200\"} 90\n\
            pos_http_requests_total{method=\"GET\",route=\"/pos/status\",status=\"404\"} 3\n\
            pos_http_requests_total{method=\"POST\",route=\"/pos/claim\",status=\"503\"} 4\n";
        assert_eq!(refused(metrics), Some(7));
        assert_eq!(refused("pos_http_requests_total{status=\"200\"} 1\n"), Some(0));
        assert_eq!(refused("something else"), None);
    }
}
