//! What gathering is worth: the server with it and the same server without it, in turn.

use crate::plan::{Bench, POLL, WARM_UP};
use crate::report::{Report, Row};
use crate::slices::in_turn;
use crate::wrk::{self, Terminals};

/// How long each is measured, at each number of connections.
const SECONDS: u32 = 8;

impl Bench<'_> {
    /// Polls with gathering on and off, at the run's connections and at one.
    pub(crate) async fn gathering(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        self.show_codes().await?;
        let many = Terminals::of(options);
        let lone = Terminals { connections: 1, ..many };
        let (off, on) = self.both().await?;
        wrk::of_terminals(off, POLL, WARM_UP, many, folder).await?;
        wrk::of_terminals(on, POLL, WARM_UP, many, folder).await?;
        for _ in 0..options.repetitions {
            for (terminals, rows) in
                [(many, [Row::GatheredPolls, Row::SinglePolls]), (lone, [Row::LoneGatheredPolls, Row::LoneSinglePolls])]
            {
                let samples = in_turn([(&mut *on, terminals), (&mut *off, terminals)], SECONDS, folder).await?;
                rows.into_iter().zip(samples).for_each(|(row, sample)| report.add(row, sample));
            }
        }
        Ok(())
    }
}
