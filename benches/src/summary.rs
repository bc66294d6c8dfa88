//! Console summary of a run: all tables and the targets as text.

use std::fmt;

use crate::connection_matrix::Column;
use crate::machine::Memory;
use crate::measurement::Measurement;
use crate::results::Results;
use crate::targets::{TargetTable, evaluate};

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        self.write_connection_matrix(f)?;
        for peer in &self.peers {
            writeln!(f, "{}", peer.summary())?;
        }
        writeln!(f, "\n{}", TargetTable(&evaluate(self)))?;
        writeln!(f, "{}", self.machine.last().map_or("", String::as_str))?;
        let (failed, refused) = (self.failed(), self.refused);
        writeln!(f, "not 2xx, broken or failed: {failed}; not 2xx by the server's own count: {refused}")
    }
}

impl Results {
    fn write_connection_matrix(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (devices, connections) = self.connection_matrix.sizes();
        if connections.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "{:<24} {:>11} {:>9} {:>9} {:>10} {:>9} {:>9}",
            "polls", "connections", "a second", "p99 ms", "/ baseline", "RSS MiB", "peak MiB"
        )?;
        for devices in devices {
            for connections in &connections {
                for (column, name) in [(Column::Batched { devices }, "on"), (Column::Unbatched { devices }, "off")] {
                    let median = |number: &dyn Fn(&Measurement) -> Option<f64>| {
                        self.connection_matrix.median(column, *connections, number).unwrap_or(f64::NAN)
                    };
                    if self.connection_matrix.of(column, *connections).next().is_none() {
                        continue;
                    }
                    let mib =
                        |kib: fn(Memory) -> u64| median(&|measurement| Some(kib(measurement.memory?) as f64 / 1_024.0));
                    writeln!(
                        f,
                        "{:<24} {connections:>11} {:>9.0} {:>9.2} {:>10.3} {:>9.1} {:>9.1}",
                        format!("{devices} devices, {name}"),
                        median(&|measurement| Some(measurement.per_second())),
                        median(&Measurement::p99_millis),
                        self.connection_matrix.relative_to_baseline(column, *connections).unwrap_or(f64::NAN),
                        mib(|memory| memory.now),
                        mib(|memory| memory.peak),
                    )?;
                }
            }
        }
        writeln!(f)
    }
}
