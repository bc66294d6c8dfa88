//! Connection matrix: poll measurements by numbers of connections and devices.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::measurement::{Measurement, Spread};

/// The measured server: the baseline handler, or a server with this many devices, with or without batching. The aliases
/// read files of earlier versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Column {
    #[serde(alias = "bare")]
    Baseline,
    #[serde(alias = "gathered")]
    Batched { devices: u32 },
    #[serde(alias = "single")]
    Unbatched { devices: u32 },
}

/// One measurement of the matrix.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) column: Column,
    pub(crate) connections: u32,
    #[serde(alias = "sample")]
    pub(crate) measurement: Measurement,
}

/// All cells, one repetition after the other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ConnectionMatrix(pub(crate) Vec<Cell>);

impl ConnectionMatrix {
    /// The measurements of a cell, one for each repetition.
    pub(crate) fn of(&self, column: Column, connections: u32) -> impl Iterator<Item = &Measurement> {
        let here = move |cell: &&Cell| (cell.column, cell.connections) == (column, connections);
        self.0.iter().filter(here).map(|cell| &cell.measurement)
    }

    /// The median over the repetitions; `None` without measurements.
    pub(crate) fn median(
        &self,
        column: Column,
        connections: u32,
        number: impl Fn(&Measurement) -> Option<f64>,
    ) -> Option<f64> {
        Spread::of(self.of(column, connections).filter_map(number)).map(|spread| spread.median)
    }

    /// The rate relative to the baseline handler's in the same repetition; the median over the repetitions.
    pub(crate) fn relative_to_baseline(&self, column: Column, connections: u32) -> Option<f64> {
        Spread::of(self.ratios((column, Column::Baseline), connections)).map(|spread| spread.median)
    }

    /// The ratio of two rates in each repetition.
    fn ratios(&self, (ours, theirs): (Column, Column), connections: u32) -> impl Iterator<Item = f64> {
        let pairs = self.of(ours, connections).zip(self.of(theirs, connections));
        pairs.map(|(ours, theirs)| ours.per_second() / theirs.per_second())
    }

    /// The numbers of devices and of connections, in ascending order.
    pub(crate) fn sizes(&self) -> (Vec<u32>, Vec<u32>) {
        let devices = self.0.iter().filter_map(|cell| match cell.column {
            Column::Baseline => None,
            Column::Batched { devices } | Column::Unbatched { devices } => Some(devices),
        });
        (sorted(devices), sorted(self.0.iter().map(|cell| cell.connections)))
    }

    /// The rate with the most devices relative to the rate with the fewest, in each repetition, at each number of
    /// connections; 1 is flat.
    pub(crate) fn flatness_at_each(&self) -> Vec<(u32, Vec<f64>)> {
        let (devices, connections) = self.sizes();
        let [few, .., many] = devices.as_slice() else { return Vec::new() };
        let pair = (Column::Batched { devices: *many }, Column::Batched { devices: *few });
        let at_each = connections.into_iter().map(|at| (at, self.ratios(pair, at).collect::<Vec<_>>()));
        at_each.filter(|(_, ratios)| !ratios.is_empty()).collect()
    }

    /// For each repetition that was measured at all numbers of connections, the median over these.
    pub(crate) fn flatness(&self) -> Vec<f64> {
        let at_each = self.flatness_at_each();
        let repetitions = at_each.iter().map(|(_, ratios)| ratios.len()).min().unwrap_or(0);
        let of = |repetition: usize| at_each.iter().filter_map(move |(_, ratios)| ratios.get(repetition).copied());
        (0..repetitions).filter_map(|repetition| Spread::of(of(repetition))).map(|spread| spread.median).collect()
    }

    /// The number of failures.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|cell| cell.measurement.failed).sum()
    }
}

fn sorted(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn cell(column: Column, connections: u32, answered: u64) -> Cell {
        let elapsed = Duration::from_secs(1);
        let measurement = Measurement { answered, failed: 0, elapsed, latency: None, cpu: None, memory: None };
        Cell { column, connections, measurement }
    }

    #[test]
    fn flatness_compares_the_most_devices_with_the_fewest_at_the_same_connections_in_the_same_repetition() {
        let mut matrix = ConnectionMatrix::default();
        assert!(matrix.flatness().is_empty());
        let batched = |devices| Column::Batched { devices };
        for (few, many) in [(100, 80), (200, 180), (100, 95)] {
            for (connections, more) in [(1, 0), (4, 1), (64, 2)] {
                matrix.0.push(cell(batched(10), connections, few));
                matrix.0.push(cell(batched(100), connections, 7));
                matrix.0.push(cell(batched(1_000), connections, many + more));
                matrix.0.push(cell(Column::Baseline, connections, 2 * few));
            }
        }
        assert_eq!(matrix.flatness(), vec![0.81, 0.905, 0.96]);
        assert_eq!(matrix.flatness_at_each().last().unwrap(), &(64, vec![0.82, 0.91, 0.97]));
        assert_eq!(matrix.relative_to_baseline(batched(10), 64), Some(0.5));
        assert_eq!(matrix.relative_to_baseline(Column::Unbatched { devices: 10 }, 1), None);
        assert_eq!(matrix.median(batched(10), 1, |measurement| Some(measurement.per_second())), Some(100.0));
        assert_eq!(matrix.sizes(), (vec![10, 100, 1_000], vec![1, 4, 64]));
        matrix.0.push(cell(batched(10), 256, 1));
        assert_eq!(matrix.flatness().len(), 3, "a cell without its counterpart is ignored");
    }
}
