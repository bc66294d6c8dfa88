//! Report on the rows of an import.

use std::sync::Arc;

use pos_port_storage::fleet::{Import, ImportRef, ImportRepository, RowResult};
use pos_port_storage::shared::StorageError;

use crate::fleet::import_devices::BATCH;

/// Results of an import, page by page: at most one page is in memory.
pub struct ImportReport {
    imports: Arc<dyn ImportRepository>,
    import: ImportRef,
    /// Number of rows.
    rows: u64,
    after: u64,
    totals: ImportTotals,
}

/// Row counts of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportTotals {
    /// All rows.
    pub rows: u64,
    /// Provisioned rows.
    pub provisioned: u64,
    /// Refused rows.
    pub refused: u64,
}

impl ImportReport {
    pub(crate) fn of(imports: Arc<dyn ImportRepository>, ended: &Import) -> Self {
        Self { imports, import: ended.import, rows: ended.rows, after: 0, totals: ImportTotals::default() }
    }

    /// Returns the next results, ordered by row; empty at the end.
    ///
    /// # Errors
    /// [`StorageError`]; the call may be repeated. [`StorageError::Fault`] if rows are missing: a report that ends has
    /// returned all rows.
    pub async fn next_page(&mut self) -> Result<Vec<RowResult>, StorageError> {
        let page = self.imports.results(&self.import, self.after, BATCH).await?;
        if let Some(last) = page.last() {
            self.after = last.number;
        } else if self.totals.rows != self.rows {
            return Err(StorageError::Fault("rows of the import are missing".into()));
        }
        let provisioned = page.iter().filter(|row| row.outcome.is_ok()).count() as u64;
        let rows = page.len() as u64;
        self.totals.rows = self.totals.rows.saturating_add(rows);
        self.totals.provisioned = self.totals.provisioned.saturating_add(provisioned);
        self.totals.refused = self.totals.refused.saturating_add(rows.saturating_sub(provisioned));
        Ok(page)
    }

    /// Row counts of the pages so far.
    #[must_use]
    pub fn totals(&self) -> ImportTotals {
        self.totals
    }
}
