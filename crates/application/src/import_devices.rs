//! Many devices made known at once, from a file of rows.
//!
//! ```text
//!   begin ──▶ push a row, a row … ──▶ finish ──▶ apply ──▶ report
//! ```
//!
//! All that is known lies in the store, so whoever calls again with the same key and the same file goes on where the
//! call before was cut short, on whatever replica, and does no row twice.

mod check;
mod refusals;
mod report;
mod upload;

use std::sync::Arc;

use pos_domain::{Action, IdempotencyKey, ImportMode, ImportedDevice, RowRefusal};
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::{
    AuditTrail, DirectoryRepository, Import, ImportRef, ImportRepository, ImportStaging, ImportState,
    LocationRepository, RowVerdict, StorageError, UndecidedRow, UnreadRow,
};
use time::Duration;

use self::check::Checks;
use self::refusals::{RefusalLimit, Refusals, TOLD_AT_LEAST};
pub use self::report::{ImportReport, ImportTotals};
pub use self::upload::Upload;
use crate::Mandate;

/// How many rows one transaction takes, and one page of the report has.
const BATCH: u32 = 1_000;

/// How much of what is over is removed at once, in rows: when an import begins, and with each batch that it stages.
const SWEEP: u32 = 5_000;

/// Imports devices.
pub struct ImportDevices {
    stores: ImportStores,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: ImportLimits,
}

/// What an import reads and writes.
#[derive(Clone)]
pub struct ImportStores {
    /// Rows on their way in.
    pub staging: Arc<dyn ImportStaging>,
    /// Rows that are there.
    pub imports: Arc<dyn ImportRepository>,
    /// Merchants.
    pub directory: Arc<dyn DirectoryRepository>,
    /// Locations.
    pub locations: Arc<dyn LocationRepository>,
    /// Where refused rows go on record.
    pub trail: Arc<dyn AuditTrail>,
}

/// Bounds on an import.
#[derive(Debug, Clone, Copy)]
pub struct ImportLimits {
    /// The most rows of a file.
    pub max_rows: u64,
    /// How long an import is there at least since something was last done with it: since its rows came or were applied,
    /// or a call with its key began. Longer than any call may take.
    pub upload: Duration,
    /// How long an import is kept once it is there: so long its key answers.
    pub keep: Duration,
    /// How many rows of a party's imports may be refused in a window: a file of guessed ids tells which there are.
    pub max_refused_rows: u64,
    /// How long such a window is.
    pub refusal_window: Duration,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ImportOrder {
    /// Who sends it, and on whose behalf.
    pub mandate: Mandate,
    /// What one refused row means for the others.
    pub mode: ImportMode,
    /// The caller's name for it.
    pub key: Option<IdempotencyKey>,
}

/// A row as a file's reader hands it on.
pub type ReadRow = Result<ImportedDevice, UnreadRow>;

/// An import that is there, whoever brought it.
#[derive(Debug, Clone)]
pub struct Received {
    /// It.
    pub import: Import,
    /// Whether an earlier call with the same key brought it.
    pub replayed: bool,
    /// SHA-256 of the file.
    pub file: [u8; 32],
    /// How many of its rows could not be read, as far as this call read them.
    pub unread: u64,
}

/// Why devices are not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The role is too low, or the party may not import devices at all.
    #[error("Role does not allow this")]
    Forbidden,
    /// An earlier call with the same key asked for something else.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// The file has more rows than this.
    #[error("at most {0} rows are accepted: split the file")]
    TooManyRows(u64),
    /// Too many rows of the party's imports were refused. What was done stays, and a call with the same key goes on later.
    #[error("Too many refused rows, try again later")]
    TooManyRefused {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store did not answer. What was done stays, and a call with the same key goes on.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ImportDevices {
    /// Ids of imports are drawn from `entropy`.
    #[must_use]
    pub fn new(stores: ImportStores, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>, limits: ImportLimits) -> Self {
        Self { stores, clock, entropy, limits }
    }

    /// The most rows of a file.
    #[must_use]
    pub fn max_rows(&self) -> u64 {
        self.limits.max_rows
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// [`ImportError::Forbidden`], [`ImportError::TooManyRefused`], [`ImportError::Storage`].
    pub async fn begin(&self, order: ImportOrder) -> Result<Upload, ImportError> {
        order.mandate.permit(Action::ImportDevices).map_err(|_| ImportError::Forbidden)?;
        self.refusals().left(order.mandate.scope(), self.clock.now()).await?;
        upload::sweep(&*self.stores.staging, self.clock.now()).await;
        let id = crate::draw::uuid(&*self.entropy);
        Upload::begin(self.stores.staging.clone(), self.clock.clone(), self.limits, order, id).await
    }

    /// Does what a received import asks for, as far as the mandate goes, and answers it as it has ended; one that has ended is answered as it is.
    /// `progress` is told the number of the last row of each batch that was looked at.
    ///
    /// Refused rows go on record and count against the party. When too many are refused, an import that is all or nothing
    /// ends as refused without a look at the rows that are left; one that is not stops, and goes on when it is called
    /// again later.
    ///
    /// Dropped in the middle it leaves whole batches done, and a later call does the others.
    ///
    /// # Errors
    /// [`ImportError::TooManyRefused`], [`ImportError::Storage`].
    pub async fn apply(
        &self,
        mandate: &Mandate,
        Received { import: received, file, unread, .. }: &Received,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Import, ImportError> {
        if received.state != ImportState::Sealed {
            return Ok(received.clone());
        }
        let (imports, import) = (&self.stores.imports, &received.import);
        let limit = self.refusals();
        let left = limit.left(import.owner, self.clock.now()).await?;
        let mut told = Refusals { import: received, file, told: 0 };
        let (mut looked, mut refused) = (0_u64, 0_u64);
        self.keep(import).await?;
        let mut checks = Checks::new(mandate.clone(), self.stores.directory.clone(), self.stores.locations.clone());
        let mut after = 0;
        loop {
            let rows = imports.undecided(import, after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            match received.mode {
                ImportMode::AllOrNothing if refused > 0 && left.is_some_and(|left| looked >= left) => break,
                ImportMode::BestEffort if left.is_some_and(|left| refused >= left) => {
                    limit.tell(&mut told, refused, self.clock.now()).await?;
                    limit.left(import.owner, self.clock.now()).await?;
                }
                ImportMode::AllOrNothing | ImportMode::BestEffort => {}
            }
            after = last.number;
            let mut verdicts = Vec::new();
            looked = looked.saturating_add(rows.len() as u64);
            for row in rows {
                let number = row.number;
                match (judge(&mut checks, &row).await?, received.mode) {
                    (Err(refusal), _) => {
                        refused = refused.saturating_add(1);
                        verdicts.push(RowVerdict { number, verdict: Err(refusal) });
                    }
                    // Created at the end, all in one transaction.
                    (Ok(()), ImportMode::AllOrNothing) => {}
                    (Ok(()), ImportMode::BestEffort) => {
                        let new = row.device.provision(received.act.clone(), self.clock.now());
                        verdicts.push(RowVerdict { number, verdict: Ok(new) });
                    }
                }
            }
            // Before they can be read by a call that goes on, so that one that is cut short is no way around the limit.
            if received.mode == ImportMode::BestEffort && refused.saturating_sub(told.told) >= TOLD_AT_LEAST {
                limit.tell(&mut told, refused, self.clock.now()).await?;
            }
            if !verdicts.is_empty() {
                imports.decide(import, &verdicts).await?;
            }
            progress(after);
        }
        self.keep(import).await?;
        let each = refused.saturating_add(*unread);
        let known = if each > 0 && received.mode == ImportMode::AllOrNothing { received.rows } else { each };
        limit.tell(&mut told, known, self.clock.now()).await?;
        let ended = imports.conclude(import, self.clock.now()).await?;
        if matches!(ended.state, ImportState::Refused { .. }) {
            limit.tell(&mut told, ended.rows, self.clock.now()).await?;
        }
        tracing::info!(import_id = %import.id, mode = %ended.mode, rows = ended.rows, state = ?ended.state, "import ended");
        Ok(ended)
    }

    fn refusals(&self) -> RefusalLimit {
        RefusalLimit { trail: self.stores.trail.clone(), limits: self.limits }
    }

    /// Keeps an import that is being applied or read until that must be over.
    async fn keep(&self, import: &ImportRef) -> Result<(), StorageError> {
        let now = self.clock.now();
        if self.stores.staging.keep(import, now, now.saturating_add(self.limits.upload)).await? {
            return Ok(());
        }
        Err(upload::over())
    }

    /// What became of the rows of an import that has ended.
    #[must_use]
    pub fn report(&self, ended: &Import) -> ImportReport {
        ImportReport::of(self.stores.imports.clone(), ended)
    }
}

/// Whether a row is to be imported. Who is no business of the importer's comes first, so that a row for a stranger's
/// merchant does not tell which devices there are.
async fn judge(checks: &mut Checks, row: &UndecidedRow) -> Result<Result<(), RowRefusal>, StorageError> {
    let device = &row.device;
    if !checks.may_import_for(device.merchant_id).await? {
        return Ok(Err(RowRefusal::UnknownMerchant));
    }
    if let Some(location) = device.details.location_id
        && !checks.is_at(device.merchant_id, location).await?
    {
        return Ok(Err(RowRefusal::UnknownLocation));
    }
    Ok(match row.earlier {
        Some(of) => Err(RowRefusal::Duplicate { of }),
        None if row.taken => Err(RowRefusal::Taken),
        None => Ok(()),
    })
}
