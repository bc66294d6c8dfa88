//! What gathering is worth: the server with it and the same server without it, in turn.

use std::time::Duration;

use crate::plan::{Bench, POLL, WARM_UP};
use crate::report::{Report, Row};
use crate::sample::Sample;
use crate::wrk::{self, Terminals};

/// The machine may stand still for a tenth of a second now and then, and a neighbour may work for one. So many short slices
/// of each, who goes first changing from pair to pair, share such moments out between them.
const SLICES: u32 = 8;
const SLICE: Duration = Duration::from_secs(1);

impl Bench<'_> {
    /// Polls with gathering on and off, at the run's connections and at one.
    pub(crate) async fn gathering(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        self.show_codes().await?;
        let many = Terminals { connections: options.connections, first: crate::fleet::FIRST, devices: options.devices };
        let lone = Terminals { connections: 1, ..many };
        let (off, on) = self.both().await?;
        wrk::of_terminals(off, POLL, WARM_UP, many, folder).await?;
        wrk::of_terminals(on, POLL, WARM_UP, many, folder).await?;
        for _ in 0..options.repetitions {
            for (terminals, rows) in
                [(many, (Row::GatheredPolls, Row::SinglePolls)), (lone, (Row::LoneGatheredPolls, Row::LoneSinglePolls))]
            {
                let (mut with, mut without) = (Vec::new(), Vec::new());
                for turn in 0..2 * SLICES {
                    // On, off, off, on, on, off, …
                    if matches!(turn % 4, 0 | 3) {
                        with.push(wrk::of_terminals(on, POLL, SLICE, terminals, folder).await?);
                    } else {
                        without.push(wrk::of_terminals(off, POLL, SLICE, terminals, folder).await?);
                    }
                }
                for (row, slices) in [(rows.0, with), (rows.1, without)] {
                    report.add(row, Sample::joined(&slices).ok_or_else(|| anyhow::anyhow!("no slices"))?);
                }
            }
        }
        Ok(())
    }
}
