//! Bulk import of devices with the operator's command, while the workload runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::process::Command;
use uuid::Uuid;

use crate::scenario::ScenarioContext;

/// Parameters of the command.
#[derive(Debug, Clone)]
pub(crate) struct BulkImport {
    pub(crate) program: PathBuf,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) folder: PathBuf,
    pub(crate) merchant: Uuid,
    pub(crate) rows: usize,
    pub(crate) mode: &'static str,
}

impl BulkImport {
    /// Imports a new file. All of its rows must be in the database at the end of the scenario.
    pub(crate) async fn run(&self, context: &ScenarioContext, random: &mut StdRng) -> anyhow::Result<String> {
        let (mut text, mut ids) = ("device_id,merchant_id\n".to_owned(), Vec::with_capacity(self.rows));
        // A random block of ids, so that collisions with other devices are practically impossible.
        let block: u32 = random.random();
        for row in 0..u32::try_from(self.rows)? {
            let id = format!("POS-{:08X}", block.wrapping_add(row));
            writeln!(text, "{id},{}", self.merchant)?;
            ids.push(id);
        }
        let file = self.folder.join(format!("import-{block:08X}.csv"));
        std::fs::write(&file, text)?;
        let mut command = Command::new(&self.program);
        command.args(["device", "import", "--mode", self.mode]).arg(&file).kill_on_drop(true);
        let output = command.envs(self.settings.iter().cloned()).output().await?;
        std::fs::remove_file(&file)?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            context.fleet.acknowledged().imported.extend(ids);
        } else {
            let errors = errors.lines().rev().take(20).map(str::to_owned).collect();
            context.history.violation(format!("an import of {} rows failed", self.rows), errors);
        }
        Ok(format!("{} rows, {}", self.rows, self.mode))
    }
}
