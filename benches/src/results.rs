//! Results of a run, stored as JSON.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::connection_matrix::ConnectionMatrix;
use crate::overload::Overload;
use crate::peers::Peer;
use crate::report::Report;

/// All measurements of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Lines about the machine, the versions and the settings.
    pub(crate) machine: Vec<String>,
    pub(crate) report: Report,
    /// The alias reads files of earlier versions.
    #[serde(alias = "grid")]
    pub(crate) connection_matrix: ConnectionMatrix,
    pub(crate) peers: Vec<Peer>,
    /// Connections of all loads but the tables; `None` in older files.
    #[serde(default)]
    pub(crate) connections: Option<u32>,
    /// Overload of each kind of call; missing in older files.
    #[serde(default)]
    pub(crate) overload: Vec<Overload>,
    /// How many responses other than 2xx the server has counted, before the overload.
    pub(crate) refused: u64,
}

impl Results {
    /// Writes the file, and creates its folder.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let folder = file.parent().context("a file for the results")?;
        fs::create_dir_all(folder).and_then(|()| fs::write(file, serde_json::to_vec_pretty(self)?.as_slice()))?;
        Ok(())
    }

    /// Reads a file of [`Results::write`].
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a results file of this version", file.display()))
    }

    /// The number of failures of the server and the references. A peer's failures are only reported in its row.
    pub(crate) fn failed(&self) -> u64 {
        self.report.failed() + self.connection_matrix.failed() + self.broken()
    }

    /// The number of failures under overload; a shed request is not a failure.
    pub(crate) fn broken(&self) -> u64 {
        self.overload.iter().map(Overload::broken).sum()
    }
}
