//! The tables: polls against connections and devices.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::plan::{Bench, POLL, WARM_UP};
use crate::sample::Sample;
use crate::slices::in_turn;
use crate::wrk::{self, Terminals};

/// The number of the first device of the tables; the devices of the other loads stay well below.
const FIRST: u32 = 50_000_000;

/// At these connections gathering off is measured too.
const UNGATHERED: [u32; 2] = [1, 64];

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Column {
    Bare,
    Gathered,
    Single,
}

/// One measurement of the tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) column: Column,
    pub(crate) devices: u32,
    pub(crate) connections: u32,
    pub(crate) sample: Sample,
}

/// All of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Grid(pub(crate) Vec<Cell>);

impl Grid {
    pub(crate) fn get(&self, column: Column, devices: u32, connections: u32) -> Option<&Sample> {
        let here = |cell: &&Cell| (cell.column, cell.devices, cell.connections) == (column, devices, connections);
        self.0.iter().find(here).map(|cell| &cell.sample)
    }

    /// What the server does of what the bare handler does, measured a moment before at as many connections.
    pub(crate) fn of_bare(&self, column: Column, devices: u32, connections: u32) -> Option<f64> {
        let bare = self.get(Column::Bare, devices, connections)?;
        Some(self.get(column, devices, connections)?.per_second() / bare.per_second())
    }

    /// How many devices and connections there are, least first.
    pub(crate) fn sizes(&self) -> (Vec<u32>, Vec<u32>) {
        let sorted = |of: fn(&Cell) -> u32| {
            let mut all: Vec<u32> = self.0.iter().map(of).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        (sorted(|cell| cell.devices), sorted(|cell| cell.connections))
    }

    /// What of the bare handler is left at the most devices, for what there is at the fewest, connections by connections;
    /// 1 is flat. Of the bare handler, because minutes lie between the two, and the machine may have other neighbours.
    pub(crate) fn flatness(&self) -> Vec<f64> {
        self.most_to_fewest(|devices, connections| self.of_bare(Column::Gathered, devices, connections))
    }

    /// The same of the rates as they are, whatever the bare handler did meanwhile.
    pub(crate) fn raw_flatness(&self) -> Vec<f64> {
        self.most_to_fewest(|devices, at| Some(self.get(Column::Gathered, devices, at)?.per_second()))
    }

    fn most_to_fewest(&self, of: impl Fn(u32, u32) -> Option<f64>) -> Vec<f64> {
        let (devices, connections) = self.sizes();
        let [few, .., many] = devices.as_slice() else { return Vec::new() };
        connections.into_iter().filter_map(|at| Some(of(*many, at)? / of(*few, at)?)).collect()
    }

    /// How much went wrong.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|cell| cell.sample.failed).sum()
    }
}

impl Bench<'_> {
    /// Fills the database step by step, and measures every cell at each step.
    pub(crate) async fn tables(&mut self, grid: &mut Grid) -> anyhow::Result<()> {
        let (options, folder) = (self.options, self.folder);
        let each: usize = options.table_connections.iter().map(|at| if UNGATHERED.contains(at) { 3 } else { 2 }).sum();
        let cells = each * options.table_devices.len();
        let most = options.table_devices.iter().max().copied().unwrap_or_default();
        eprintln!("  {cells} cells of {} s, and filling up to {most} devices", options.cell_seconds);
        self.database.take_codes_away().await?;
        let (mut filled, mut done) = (0, 0);
        for devices in options.table_devices.iter().copied() {
            let begun = Instant::now();
            if devices > filled {
                self.database.add_pollers(FIRST + filled..FIRST + devices).await?;
                filled = devices;
            }
            self.database.settle().await?;
            eprintln!("  {devices} devices, made known within {:.0} s", begun.elapsed().as_secs_f64());
            let warm = Terminals::new(options.connections, FIRST, devices);
            let [_, on, off] = self.every().await?;
            wrk::of_terminals(off, POLL, WARM_UP, warm, folder).await?;
            wrk::of_terminals(on, POLL, WARM_UP, warm, folder).await?;
            for connections in options.table_connections.iter().copied() {
                let terminals = Terminals::new(connections, FIRST, devices);
                let columns = if UNGATHERED.contains(&connections) { 3 } else { 2 };
                let servers = self.every().await?.into_iter().take(columns);
                let samples = in_turn(servers, options.cell_seconds, terminals, folder).await?;
                for (column, sample) in [Column::Bare, Column::Gathered, Column::Single].into_iter().zip(samples) {
                    done += 1;
                    let rate = sample.per_second();
                    eprintln!("  {done:>3}/{cells} {column:?}, {connections} connections: {rate:.0} a second");
                    grid.0.push(Cell { column, devices, connections, sample });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    pub(crate) fn cell(column: Column, devices: u32, connections: u32, answered: u64) -> Cell {
        let elapsed = Duration::from_secs(1);
        let sample = Sample { answered, failed: 0, elapsed, latency: None, cpu: None, memory: None };
        Cell { column, devices, connections, sample }
    }

    #[test]
    fn flat_is_the_most_devices_against_the_fewest_at_the_same_connections() {
        let mut grid = Grid::default();
        assert!(grid.flatness().is_empty() && grid.raw_flatness().is_empty());
        for (devices, connections, answered, bare) in [(10, 1, 100, 400), (100, 1, 7, 90), (1_000, 1, 60, 300)] {
            grid.0.push(cell(Column::Gathered, devices, connections, answered));
            grid.0.push(cell(Column::Bare, devices, connections, bare));
        }
        grid.0.push(cell(Column::Gathered, 10, 64, 200));
        grid.0.push(cell(Column::Bare, 10, 64, 400));
        assert_eq!(grid.flatness(), vec![0.8], "at 64 connections the other end is missing");
        assert_eq!(grid.raw_flatness(), vec![0.6]);
        assert_eq!(grid.of_bare(Column::Gathered, 10, 64), Some(0.5));
        assert_eq!(grid.of_bare(Column::Single, 10, 1), None);
        assert_eq!(grid.sizes(), (vec![10, 100, 1_000], vec![1, 64]));
    }
}
