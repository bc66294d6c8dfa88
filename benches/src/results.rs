//! Everything a run told: kept as JSON, shown on the screen, and read again for the tables in the documentation.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::grid::{Column, Grid};
use crate::machine::Memory;
use crate::overload::Overload;
use crate::peers::Peer;
use crate::report::Report;
use crate::sample::Sample;
use crate::verdicts::{InLines, verdicts};

/// All measurements of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// On what, and of what, the numbers are: one line each.
    pub(crate) machine: Vec<String>,
    pub(crate) report: Report,
    pub(crate) grid: Grid,
    pub(crate) peers: Vec<Peer>,
    /// Connections of every load but the tables'; none in a file from before it was kept.
    #[serde(default)]
    pub(crate) connections: Option<u32>,
    /// What was offered more than it can answer, each kind of call; not in an older file.
    #[serde(default)]
    pub(crate) overload: Vec<Overload>,
    /// How many answers other than 2xx the server itself counted, before it was overloaded.
    pub(crate) refused: u64,
}

impl Results {
    /// Writes a file, and the folder it is in.
    pub(crate) fn keep(&self, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().context("a file for the results")?;
        fs::create_dir_all(folder).and_then(|()| fs::write(file, serde_json::to_vec_pretty(self)?.as_slice()))?;
        Ok(())
    }

    /// Reads what [`Results::keep`] wrote.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} holds no results that this version reads", file.display()))
    }

    /// How much of ours and of the references went wrong. A peer that fails has a row that says so.
    pub(crate) fn failed(&self) -> u64 {
        self.report.failed() + self.grid.failed() + self.broken()
    }

    /// How much went wrong under overload; to be turned away is not wrong.
    pub(crate) fn broken(&self) -> u64 {
        self.overload.iter().map(Overload::broken).sum()
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.report)?;
        self.write_grid(f)?;
        for peer in &self.peers {
            writeln!(f, "{}", peer.in_words())?;
        }
        writeln!(f, "\n{}", InLines(&verdicts(self)))?;
        writeln!(f, "{}", self.machine.last().map_or("", String::as_str))?;
        let (failed, refused) = (self.failed(), self.refused);
        writeln!(f, "not 2xx, broken or failed: {failed}; refused by the server's own count: {refused}")
    }
}

impl Results {
    fn write_grid(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (devices, connections) = self.grid.sizes();
        if connections.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "{:<24} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "polls", "connections", "a second", "p99 ms", "of bare", "RSS MiB", "peak MiB"
        )?;
        for devices in devices {
            for connections in &connections {
                for (column, name) in [(Column::Gathered { devices }, "on"), (Column::Single { devices }, "off")] {
                    let median = |number: &dyn Fn(&Sample) -> Option<f64>| {
                        self.grid.median(column, *connections, number).unwrap_or(f64::NAN)
                    };
                    if self.grid.of(column, *connections).next().is_none() {
                        continue;
                    }
                    let mib = |kib: fn(Memory) -> u64| median(&|sample| Some(kib(sample.memory?) as f64 / 1_024.0));
                    writeln!(
                        f,
                        "{:<24} {connections:>11} {:>9.0} {:>9.2} {:>9.3} {:>9.1} {:>9.1}",
                        format!("{devices} devices, {name}"),
                        median(&|sample| Some(sample.per_second())),
                        median(&Sample::p99_millis),
                        self.grid.of_bare(column, *connections).unwrap_or(f64::NAN),
                        mib(|memory| memory.now),
                        mib(|memory| memory.peak),
                    )?;
                }
            }
        }
        writeln!(f)
    }
}
