//! What gathering is worth: the server with it and the same server without it, in turn.

use std::time::Duration;

use crate::plan::{Bench, POLL, WARM_UP};
use crate::report::{Report, Row};
use crate::sample::Sample;
use crate::wrk::{self, Terminals};

/// At one connection the two are so near to each other that a neighbour's second of work would decide. So many short
/// slices of each, who goes first changing from pair to pair, share such a second out between them.
const LONE_SLICES: u32 = 8;
const LONE_SLICE: Duration = Duration::from_secs(1);

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
        for repetition in 0..options.repetitions {
            let length = options.measurement();
            for turn in 0..2 {
                if (turn + repetition) % 2 == 0 {
                    report.add(Row::GatheredPolls, wrk::of_terminals(on, POLL, length, many, folder).await?);
                } else {
                    report.add(Row::SinglePolls, wrk::of_terminals(off, POLL, length, many, folder).await?);
                }
            }
            let (mut with, mut without) = (Vec::new(), Vec::new());
            for slice in 0..LONE_SLICES {
                for turn in 0..2 {
                    if (turn + slice) % 2 == 0 {
                        with.push(wrk::of_terminals(on, POLL, LONE_SLICE, lone, folder).await?);
                    } else {
                        without.push(wrk::of_terminals(off, POLL, LONE_SLICE, lone, folder).await?);
                    }
                }
            }
            for (row, slices) in [(Row::LoneGatheredPolls, with), (Row::LoneSinglePolls, without)] {
                report.add(row, Sample::joined(&slices).ok_or_else(|| anyhow::anyhow!("no slices"))?);
            }
        }
        Ok(())
    }
}
