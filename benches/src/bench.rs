//! Test bed of a run: the servers, the database, the fleet and the portal that all loads share.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::claims::{AUDIENCE, Portal};
use crate::database::{DATABASE_URL, Database};
use crate::fleet::{CODE, Fleet, terminal_request};
use crate::http_load::send_all;
use crate::options::Run;
use crate::processes::ServerProcess;

/// Long enough to fill pools and prepare statements.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Non-default settings of the measured server, besides its address, its database and its issuer.
pub(crate) const OVERRIDES: [(&str, &str); 4] = [
    // The limits are active, but high: the load polls each device far more often than a terminal does.
    ("POS__LIMITS__DEVICE_PER_MINUTE", "1000000"),
    ("POS__LIMITS__DEVICE_BURST", "1000000"),
    ("POS__LIMITS__ADDRESS_PER_MINUTE", "1000000000"),
    ("POS__LIMITS__ADDRESS_BURST", "1000000000"),
];

/// Everything that runs during the measurements.
pub(crate) struct Bench<'r> {
    pub(crate) options: &'r Run,
    pub(crate) folder: &'r Path,
    pub(crate) fleet: Fleet,
    pub(crate) database: Database,
    pub(crate) portal: Portal,
    /// Environment variables of the server and the baseline handler.
    variables: Vec<(&'static str, String)>,
    pub(crate) server: ServerProcess,
    pub(crate) baseline: ServerProcess,
    /// The server without batching, started on first use.
    unbatched: Option<ServerProcess>,
}

impl<'r> Bench<'r> {
    pub(crate) async fn start(options: &'r Run, folder: &'r Path, database: Database) -> anyhow::Result<Self> {
        let fleet = Fleet::of(options);
        let url = (DATABASE_URL, options.database_url.as_str());
        database.provision_fleet(fleet).await?;
        let portal = Portal::open(options.claimants).await?;
        let own = [
            url,
            ("POS__HTTP__BIND", "127.0.0.1:0"),
            ("POS__IDENTITY__ISSUER", portal.issuer()),
            ("POS__IDENTITY__AUDIENCE", AUDIENCE),
        ];
        let variables = [own.as_slice(), &OVERRIDES].concat();
        let server = ServerProcess::start("server", folder, &variables).await?;
        let baseline = ServerProcess::start("baseline", folder, &variables).await?;
        let variables = variables.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        portal.initiate(server.address, options.connections as usize).await?;
        let bench = Self { options, folder, fleet, database, portal, variables, server, baseline, unbatched: None };
        // As in production: every terminal calls bootstrap before it polls, and its terminal info is stored from then on.
        let calls = fleet.all().map(|device| terminal_request("POST", "/pos/bootstrap", device)).collect();
        send_all(bench.server.address, options.connections as usize, calls).await?.ensure_success("bootstraps")?;
        Ok(bench)
    }

    /// Issues a pending code for every device that polls.
    pub(crate) async fn issue_codes(&self) -> anyhow::Result<()> {
        let requests = self.fleet.polling().map(|device| terminal_request(CODE.0, CODE.1, device)).collect();
        let connections = self.options.connections as usize;
        send_all(self.server.address, connections, requests).await?.ensure_success("requests for codes")?;
        self.database.vacuum_and_checkpoint().await
    }

    /// Environment variables of the server, to start another one like it.
    pub(crate) fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The same variables with another database.
    pub(crate) fn variables_for<'v>(&'v self, url: &'v str) -> Vec<(&'v str, &'v str)> {
        let other = |(name, value)| (name, if name == DATABASE_URL { url } else { value });
        self.variables().into_iter().map(other).collect()
    }

    /// The same server without batching, and the one with batching.
    pub(crate) async fn unbatched_and_batched(&mut self) -> anyhow::Result<(&mut ServerProcess, &mut ServerProcess)> {
        if self.unbatched.is_none() {
            let mut variables = self.variables();
            variables.push(("POS__DATABASE__BATCHING", "false"));
            self.unbatched = Some(ServerProcess::start_as("unbatched", "server", self.folder, &variables).await?);
        }
        Ok((self.unbatched.as_mut().context("the server without batching")?, &mut self.server))
    }
}
