//! The tables' measurements: fleets of several sizes, each with a database and servers of its own, polled in turn.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Context as _;

use crate::children::Listening;
use crate::database::Database;
use crate::grid::{Cell, Column, Grid};
use crate::plan::{Bench, POLL, WARM_UP};
use crate::sample::Sample;
use crate::slices::in_turn;
use crate::wrk::{self, Terminals};

/// The number of the first device of each fleet.
const FIRST: u32 = 50_000_000;

/// At these connections gathering off is measured too.
const UNGATHERED: [u32; 2] = [1, 64];

/// Servers over a database of so many devices.
struct SizedFleet {
    devices: u32,
    gathered: Listening,
    single: Listening,
}

impl Bench<'_> {
    /// Polls of fleets of all sizes, second by second in turn with each other and the bare handler, at each number of
    /// connections; all of it as often as there are repetitions.
    pub(crate) async fn tables(&mut self, grid: &mut Grid) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let sizes: BTreeSet<u32> = options.table_devices.iter().copied().collect();
        let mut fleets = Vec::new();
        for devices in sizes.iter().copied() {
            fleets.push(self.fleet_of(devices).await?);
        }
        let turns = options.table_connections.len() * options.repetitions as usize;
        let mut done = 0;
        for _ in 0..options.repetitions {
            for connections in options.table_connections.iter().copied() {
                let of = |devices| Terminals::new(connections, FIRST, devices);
                let too = UNGATHERED.contains(&connections);
                let fewest = sizes.first().copied().unwrap_or(1);
                let (mut columns, mut servers) = (vec![Column::Bare], vec![(&mut self.bare, of(fewest))]);
                for SizedFleet { devices, gathered, single } in &mut fleets {
                    let devices = *devices;
                    columns.push(Column::Gathered { devices });
                    servers.push((gathered, of(devices)));
                    if too {
                        columns.push(Column::Single { devices });
                        servers.push((single, of(devices)));
                    }
                }
                let samples = in_turn(servers, options.cell_seconds, folder).await?;
                done += 1;
                eprintln!("  {done:>3}/{turns} {connections} connections: {}", in_words(&columns, &samples));
                let cells = columns.into_iter().zip(samples);
                grid.0.extend(cells.map(|(column, sample)| Cell { column, connections, sample }));
            }
        }
        for SizedFleet { gathered, single, .. } in fleets {
            gathered.stop().await?;
            single.stop().await?;
        }
        Ok(())
    }

    /// A database of so many devices beside the run's, and servers over it that are warm.
    async fn fleet_of(&mut self, devices: u32) -> anyhow::Result<SizedFleet> {
        let (options, folder, begun) = (self.options, self.folder, Instant::now());
        let name = format!("fleet_{devices}");
        let url = self.database.beside(&name).await?;
        let database = Database::connect(&url).await?;
        database.prepare(self.fleet).await?;
        database.add_pollers(FIRST..FIRST.checked_add(devices).context("so many devices")?).await?;
        database.settle().await?;
        let variables = self.variables_over(&url);
        let mut gathered = Listening::start_as(&name, "server", folder, &variables).await?;
        let variables = [variables.as_slice(), &[("POS__DATABASE__GATHER", "false")]].concat();
        let mut single = Listening::start_as(&format!("{name}_single"), "server", folder, &variables).await?;
        for server in [&mut single, &mut gathered] {
            let warm = Terminals::new(options.connections, FIRST, devices);
            wrk::of_terminals(server, POLL, WARM_UP, warm, folder).await?;
        }
        eprintln!("  {devices} devices, made known within {:.0} s", begun.elapsed().as_secs_f64());
        Ok(SizedFleet { devices, gathered, single })
    }
}

fn in_words(columns: &[Column], samples: &[Sample]) -> String {
    let each = columns.iter().zip(samples).map(|(column, sample)| match column {
        Column::Bare => format!("bare {:.0}", sample.per_second()),
        Column::Gathered { devices } => format!("{devices} devices {:.0}", sample.per_second()),
        Column::Single { devices } => format!("{devices} not gathered {:.0}", sample.per_second()),
    });
    format!("{} a second", each.collect::<Vec<_>>().join(", "))
}
