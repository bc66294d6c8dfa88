//! The tables: polls against connections and devices, as they were measured.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::sample::{Sample, Spread};

/// Who answers: the bare handler, or a server of a fleet of so many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Column {
    Bare,
    Gathered { devices: u32 },
    Single { devices: u32 },
}

/// One measurement of the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) column: Column,
    pub(crate) connections: u32,
    pub(crate) sample: Sample,
}

/// All of them, one repetition after the other.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grid(pub(crate) Vec<Cell>);

impl Grid {
    /// One for each repetition.
    pub(crate) fn of(&self, column: Column, connections: u32) -> impl Iterator<Item = &Sample> {
        let here = move |cell: &&Cell| (cell.column, cell.connections) == (column, connections);
        self.0.iter().filter(here).map(|cell| &cell.sample)
    }

    /// The median of the repetitions; none of none.
    pub(crate) fn median(
        &self,
        column: Column,
        connections: u32,
        number: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<f64> {
        Spread::of(self.of(column, connections).filter_map(number)).map(|spread| spread.median)
    }

    /// What the server does of what the bare handler does in turn with it; the median of the repetitions.
    pub(crate) fn of_bare(&self, column: Column, connections: u32) -> Option<f64> {
        Spread::of(self.ratios((column, Column::Bare), connections)).map(|spread| spread.median)
    }

    /// One rate for another's, in each repetition.
    fn ratios(&self, (ours, theirs): (Column, Column), connections: u32) -> impl Iterator<Item = f64> {
        let pairs = self.of(ours, connections).zip(self.of(theirs, connections));
        pairs.map(|(ours, theirs)| ours.per_second() / theirs.per_second())
    }

    /// How many devices and connections there are, least first.
    pub(crate) fn sizes(&self) -> (Vec<u32>, Vec<u32>) {
        let devices = self.0.iter().filter_map(|cell| match cell.column {
            Column::Bare => None,
            Column::Gathered { devices } | Column::Single { devices } => Some(devices),
        });
        (sorted(devices), sorted(self.0.iter().map(|cell| cell.connections)))
    }

    /// The rate with the most devices for the rate with the fewest, in each repetition, at each number of connections; 1 is
    /// flat.
    pub(crate) fn flatness_at_each(&self) -> Vec<(u32, Vec<f64>)> {
        let (devices, connections) = self.sizes();
        let [few, .., many] = devices.as_slice() else { return Vec::new() };
        let pair = (Column::Gathered { devices: *many }, Column::Gathered { devices: *few });
        let at_each = connections.into_iter().map(|at| (at, self.ratios(pair, at).collect::<Vec<_>>()));
        at_each.filter(|(_, ratios)| !ratios.is_empty()).collect()
    }

    /// For each repetition that was measured at all connections, the median over these.
    pub(crate) fn flatness(&self) -> Vec<f64> {
        let at_each = self.flatness_at_each();
        let repetitions = at_each.iter().map(|(_, ratios)| ratios.len()).min().unwrap_or(0);
        let of = |repetition: usize| at_each.iter().filter_map(move |(_, ratios)| ratios.get(repetition).copied());
        (0..repetitions).filter_map(|repetition| Spread::of(of(repetition))).map(|spread| spread.median).collect()
    }

    /// How much went wrong.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|cell| cell.sample.failed).sum()
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
        let sample = Sample { answered, failed: 0, elapsed, latency: None, cpu: None, memory: None };
        Cell { column, connections, sample }
    }

    #[test]
    fn flat_is_the_most_devices_against_the_fewest_at_the_same_connections_in_the_same_repetition() {
        let mut grid = Grid::default();
        assert!(grid.flatness().is_empty());
        let gathered = |devices| Column::Gathered { devices };
        for (few, many) in [(100, 80), (200, 180), (100, 95)] {
            for (connections, more) in [(1, 0), (4, 1), (64, 2)] {
                grid.0.push(cell(gathered(10), connections, few));
                grid.0.push(cell(gathered(100), connections, 7));
                grid.0.push(cell(gathered(1_000), connections, many + more));
                grid.0.push(cell(Column::Bare, connections, 2 * few));
            }
        }
        assert_eq!(grid.flatness(), vec![0.81, 0.905, 0.96]);
        assert_eq!(grid.flatness_at_each().last().unwrap(), &(64, vec![0.82, 0.91, 0.97]));
        assert_eq!(grid.of_bare(gathered(10), 64), Some(0.5));
        assert_eq!(grid.of_bare(Column::Single { devices: 10 }, 1), None);
        assert_eq!(grid.median(gathered(10), 1, |sample| Some(sample.per_second())), Some(100.0));
        assert_eq!(grid.sizes(), (vec![10, 100, 1_000], vec![1, 4, 64]));
        grid.0.push(cell(gathered(10), 256, 1));
        assert_eq!(grid.flatness().len(), 3, "where the other end is missing, nothing is judged");
    }
}
