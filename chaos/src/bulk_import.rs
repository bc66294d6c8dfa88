//! A file of tens of thousands of devices, imported by the operator's command while everything runs.

use std::fmt::Write as _;
use std::path::PathBuf;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::process::Command;
use uuid::Uuid;

use crate::act::Stage;

/// What the command needs.
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
    /// Imports a new file. Every one of its rows must be in the database in the end.
    pub(crate) async fn run(&self, stage: &Stage, random: &mut StdRng) -> anyhow::Result<String> {
        let (mut text, mut ids) = ("device_id,merchant_id\n".to_owned(), Vec::with_capacity(self.rows));
        // Ids of a block of their own, so that they meet no other device but once in many million runs.
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
        let done = command.envs(self.settings.iter().cloned()).output().await?;
        std::fs::remove_file(&file)?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        if done.status.success() {
            stage.fleet.promises().imported.extend(ids);
        } else {
            let said = said.lines().rev().take(20).map(str::to_owned).collect();
            stage.ledger.violation(format!("an import of {} rows failed", self.rows), said);
        }
        Ok(format!("{} rows, {}", self.rows, self.mode))
    }
}
