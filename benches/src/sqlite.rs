//! The embedded default under the same load: the same server, with a file of SQLite on the disk that PostgreSQL writes to.

use crate::children::Listening;
use crate::database::{provision, settings_over};
use crate::fleet::terminal_request;
use crate::http_load::send_all;
use crate::plan::{Bench, CODE, POLL, WARM_UP};
use crate::report::{Report, Row};
use crate::slices::in_turn;
use crate::wrk::{self, Terminals};

impl Bench<'_> {
    /// Polls, beside the bare handler; then codes.
    pub(crate) async fn sqlite(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let url = format!("sqlite://{}", folder.join("embedded.db").display());
        let settings = settings_over(&url)?;
        provision(&settings, self.fleet.polling(), self.fleet).await?;
        let variables = self.variables_over(&url);
        let mut embedded = Listening::start_as("embedded", "server", folder, &variables).await?;
        for (method, path) in [("POST", "/pos/bootstrap"), CODE] {
            let calls = self.fleet.polling().map(|device| terminal_request(method, path, device)).collect();
            send_all(embedded.address, options.connections as usize, calls).await?.all_well(path)?;
        }
        wrk::run(&mut self.bare, POLL, WARM_UP, options, folder).await?;
        wrk::run(&mut embedded, POLL, WARM_UP, options, folder).await?;
        for _ in 0..options.repetitions {
            let terminals = Terminals::of(options);
            let servers = [(&mut self.bare, terminals), (&mut embedded, terminals)];
            let samples = in_turn(servers, options.seconds, folder).await?;
            let rows = [Row::BareBeside, Row::EmbeddedPolls];
            rows.into_iter().zip(samples).for_each(|(row, sample)| report.add(row, sample));
        }
        for _ in 0..options.repetitions {
            let codes = wrk::run(&mut embedded, CODE, options.measurement(), options, folder).await?;
            report.add(Row::EmbeddedCodes, codes);
        }
        embedded.stop().await
    }
}
