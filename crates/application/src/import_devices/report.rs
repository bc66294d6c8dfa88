use std::sync::Arc;

use pos_port_storage::{Import, ImportRef, ImportRepository, RowResult, StorageError};

use super::BATCH;

/// The results of an import, page by page: never more than one is in memory.
pub struct ImportReport {
    imports: Arc<dyn ImportRepository>,
    import: ImportRef,
    /// How many rows it has.
    rows: u64,
    after: u64,
    totals: ImportTotals,
}

/// How many rows came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportTotals {
    /// All of them.
    pub rows: u64,
    /// Those that are devices now.
    pub provisioned: u64,
    /// Those that are not.
    pub refused: u64,
}

impl ImportReport {
    pub(super) fn of(imports: Arc<dyn ImportRepository>, ended: &Import) -> Self {
        Self { imports, import: ended.import, rows: ended.rows, after: 0, totals: ImportTotals::default() }
    }

    /// The next results in the order of their rows; none at the end.
    ///
    /// # Errors
    /// [`StorageError`]; the same page may be asked for again. [`StorageError::Fault`] when rows are missing: a report that
    /// ends has told all rows.
    pub async fn next_page(&mut self) -> Result<Vec<RowResult>, StorageError> {
        let page = self.imports.results(&self.import, self.after, BATCH).await?;
        if let Some(last) = page.last() {
            self.after = last.number;
        } else if self.totals.rows != self.rows {
            return Err(StorageError::Fault("rows of the import are gone".into()));
        }
        let provisioned = page.iter().filter(|row| row.outcome.is_ok()).count() as u64;
        let rows = page.len() as u64;
        self.totals.rows = self.totals.rows.saturating_add(rows);
        self.totals.provisioned = self.totals.provisioned.saturating_add(provisioned);
        self.totals.refused = self.totals.refused.saturating_add(rows.saturating_sub(provisioned));
        Ok(page)
    }

    /// What the pages so far come to.
    #[must_use]
    pub fn totals(&self) -> ImportTotals {
        self.totals
    }
}
