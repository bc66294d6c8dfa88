//! Effect of batching: polls of the server with and without batching, interleaved.

use crate::bench::{Bench, WARM_UP};
use crate::fleet::POLL;
use crate::interleaved::measure_interleaved;
use crate::report::{Report, Row};
use crate::wrk::{self, Terminals};

/// Duration of each measurement, in seconds.
const SECONDS: u32 = 8;

impl Bench<'_> {
    /// Polls with batching on and off, with the run's connections and with one.
    pub(crate) async fn batching(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        self.issue_codes().await?;
        let many = Terminals::of(options);
        let one = Terminals { connections: 1, ..many };
        let (off, on) = self.unbatched_and_batched().await?;
        wrk::run_terminals(off, POLL, WARM_UP, many, folder).await?;
        wrk::run_terminals(on, POLL, WARM_UP, many, folder).await?;
        for _ in 0..options.repetitions {
            for (terminals, rows) in [
                (many, [Row::BatchedPolls, Row::UnbatchedPolls]),
                (one, [Row::BatchedPollsOneConnection, Row::UnbatchedPollsOneConnection]),
            ] {
                let servers = [(&mut *on, terminals), (&mut *off, terminals)];
                let measurements = measure_interleaved(servers, SECONDS, folder).await?;
                rows.into_iter().zip(measurements).for_each(|(row, measurement)| report.add(row, measurement));
            }
        }
        Ok(())
    }
}
