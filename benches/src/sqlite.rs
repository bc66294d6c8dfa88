//! Load on the embedded store: the same server with an SQLite file, on the disk that PostgreSQL writes to.

use crate::bench::{Bench, WARM_UP};
use crate::database::{provision, settings_for};
use crate::fleet::{CODE, POLL, terminal_request};
use crate::http_load::send_all;
use crate::interleaved::measure_interleaved;
use crate::processes::ServerProcess;
use crate::report::{Report, Row};
use crate::wrk::{self, Terminals};

impl Bench<'_> {
    /// Polls, interleaved with the baseline handler; then codes.
    pub(crate) async fn sqlite(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let url = format!("sqlite://{}", folder.join("embedded.db").display());
        let settings = settings_for(&url)?;
        provision(&settings, self.fleet.polling(), self.fleet).await?;
        let variables = self.variables_for(&url);
        let mut embedded = ServerProcess::start_as("embedded", "server", folder, &variables).await?;
        for (method, path) in [("POST", "/pos/bootstrap"), CODE] {
            let calls = self.fleet.polling().map(|device| terminal_request(method, path, device)).collect();
            send_all(embedded.address, options.connections as usize, calls).await?.ensure_success(path)?;
        }
        wrk::run(&mut self.baseline, POLL, WARM_UP, options, folder).await?;
        wrk::run(&mut embedded, POLL, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            let terminals = Terminals::of(options);
            let servers = [(&mut self.baseline, terminals), (&mut embedded, terminals)];
            let measurements = measure_interleaved(servers, options.seconds, folder).await?;
            let rows = [Row::SqliteBaselinePolls, Row::SqlitePolls];
            rows.into_iter().zip(measurements).for_each(|(row, measurement)| report.add(row, measurement));
        }
        for _ in 0..options.repetitions {
            let codes = wrk::run(&mut embedded, CODE, options.duration(), options, folder).await?;
            report.add(Row::SqliteCodes, codes);
        }
        embedded.stop().await
    }
}
