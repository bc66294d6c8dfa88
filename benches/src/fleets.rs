//! Measurement of the connection matrix: fleets of several sizes, each with its own database and servers, interleaved.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::Context as _;

use crate::bench::{Bench, WARM_UP};
use crate::connection_matrix::{Cell, Column, ConnectionMatrix};
use crate::database::Database;
use crate::fleet::POLL;
use crate::interleaved::measure_interleaved;
use crate::measurement::Measurement;
use crate::processes::ServerProcess;
use crate::wrk::{self, Terminals};

/// The number of the first device of each fleet.
const FIRST: u32 = 50_000_000;

/// The numbers of connections at which servers without batching are also measured.
const UNBATCHED_CONNECTIONS: [u32; 2] = [1, 64];

/// Servers on a database with this number of devices.
struct SizedFleet {
    devices: u32,
    batched: ServerProcess,
    unbatched: ServerProcess,
}

impl Bench<'_> {
    /// Polls fleets of all sizes and the baseline handler, interleaved second by second, at each number of connections, in
    /// each repetition.
    pub(crate) async fn tables(&mut self, matrix: &mut ConnectionMatrix) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let sizes: BTreeSet<u32> = options.table_devices.iter().copied().collect();
        let mut fleets = Vec::new();
        for devices in sizes.iter().copied() {
            fleets.push(self.start_fleet(devices).await?);
        }
        let total = options.table_connections.len() * options.repetitions as usize;
        let mut done = 0;
        for _ in 0..options.repetitions {
            for connections in options.table_connections.iter().copied() {
                let of = |devices| Terminals::new(connections, FIRST, devices);
                let with_unbatched = UNBATCHED_CONNECTIONS.contains(&connections);
                let fewest = sizes.first().copied().unwrap_or(1);
                let (mut columns, mut servers) = (vec![Column::Baseline], vec![(&mut self.baseline, of(fewest))]);
                for SizedFleet { devices, batched, unbatched } in &mut fleets {
                    let devices = *devices;
                    columns.push(Column::Batched { devices });
                    servers.push((batched, of(devices)));
                    if with_unbatched {
                        columns.push(Column::Unbatched { devices });
                        servers.push((unbatched, of(devices)));
                    }
                }
                let measurements = measure_interleaved(servers, options.cell_seconds, folder).await?;
                done += 1;
                eprintln!("  {done:>3}/{total} {connections} connections: {}", summary(&columns, &measurements));
                let cells = columns.into_iter().zip(measurements);
                matrix.0.extend(cells.map(|(column, measurement)| Cell { column, connections, measurement }));
            }
        }
        for SizedFleet { batched, unbatched, .. } in fleets {
            batched.stop().await?;
            unbatched.stop().await?;
        }
        Ok(())
    }

    /// Creates a database with this number of devices, and starts and warms up servers on it.
    async fn start_fleet(&mut self, devices: u32) -> anyhow::Result<SizedFleet> {
        let (options, folder, begun) = (self.options, self.folder, Instant::now());
        let name = format!("fleet_{devices}");
        let url = self.database.create_sibling(&name).await?;
        let database = Database::connect(&url).await?;
        database.create_schema(self.fleet).await?;
        database.add_pollers(FIRST..FIRST.checked_add(devices).context("too many devices")?).await?;
        database.vacuum_and_checkpoint().await?;
        let variables = self.variables_for(&url);
        let mut batched = ServerProcess::start_as(&name, "server", folder, &variables).await?;
        let variables = [variables.as_slice(), &[("POS__DATABASE__BATCHING", "false")]].concat();
        let name = format!("{name}_unbatched");
        let mut unbatched = ServerProcess::start_as(&name, "server", folder, &variables).await?;
        for server in [&mut unbatched, &mut batched] {
            let terminals = Terminals::new(options.connections, FIRST, devices);
            wrk::run_terminals(server, POLL, WARM_UP, terminals, folder).await?;
        }
        eprintln!("  {devices} devices, provisioned in {:.0} s", begun.elapsed().as_secs_f64());
        Ok(SizedFleet { devices, batched, unbatched })
    }
}

fn summary(columns: &[Column], measurements: &[Measurement]) -> String {
    let each = columns.iter().zip(measurements).map(|(column, measurement)| match column {
        Column::Baseline => format!("baseline {:.0}", measurement.per_second()),
        Column::Batched { devices } => format!("{devices} devices {:.0}", measurement.per_second()),
        Column::Unbatched { devices } => format!("{devices} devices unbatched {:.0}", measurement.per_second()),
    });
    format!("{} a second", each.collect::<Vec<_>>().join(", "))
}
