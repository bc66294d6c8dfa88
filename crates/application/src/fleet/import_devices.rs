//! Use case: import of devices from a file.
//!
//! ```text
//!   begin ──▶ push a row, a row … ──▶ finish ──▶ apply ──▶ report
//! ```
//!
//! The state of an import is in the store, so a repeated request with the same key and the same file resumes an interrupted
//! import on any replica, and processes no row twice.

mod check;
mod files;
mod receiver;
mod refusals;
mod report;
mod upload;

use std::sync::Arc;

use pos_domain::fleet::{ImportMode, RowRefusal};
use pos_domain::shared::IdempotencyKey;
use pos_domain::tenancy::Action;
use pos_port_clock::{Clock, Entropy};
use pos_port_storage::audit::AuditTrail;
use pos_port_storage::fleet::{
    Import, ImportRef, ImportRepository, ImportStaging, ImportState, PendingRow, RowDecision,
};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{DirectoryRepository, LocationRepository};
use time::Duration;

use crate::fleet::import_devices::check::Checks;
pub use crate::fleet::import_devices::files::{
    FileFault, ImportFiles, ImportFormat, MAX_ROW_BYTES, NoImportFiles, ReadRow, RowParser,
};
pub use crate::fleet::import_devices::receiver::{ReceiveError, Receiver, max_file_bytes};
use crate::fleet::import_devices::refusals::{AUDIT_BATCH, RefusalLimit, Refusals};
pub use crate::fleet::import_devices::report::{ImportReport, ImportTotals};
pub use crate::fleet::import_devices::upload::Upload;
use crate::support::Authorization;

/// Rows per transaction, and per page of the report.
const BATCH: u32 = 1_000;

/// Expired rows deleted at once, when an import begins and with each batch that it stages.
const SWEEP_ROWS: u32 = 5_000;

/// Imports devices from files.
pub struct ImportDevices {
    stores: ImportStores,
    files: Arc<dyn ImportFiles>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: ImportLimits,
}

/// Repositories of an import.
#[derive(Clone)]
pub(crate) struct ImportStores {
    /// Rows being uploaded.
    pub(crate) staging: Arc<dyn ImportStaging>,
    /// Uploaded imports.
    pub(crate) imports: Arc<dyn ImportRepository>,
    /// Merchants.
    pub(crate) directory: Arc<dyn DirectoryRepository>,
    /// Locations.
    pub(crate) locations: Arc<dyn LocationRepository>,
    /// Audit trail, for refused rows.
    pub(crate) trail: Arc<dyn AuditTrail>,
}

/// Limits of an import.
#[derive(Debug, Clone, Copy)]
pub struct ImportLimits {
    /// Maximum rows of a file.
    pub max_rows: u64,
    /// How long an import is stored at least after the last activity: an upload, an application of rows, or the start of a
    /// request with its key. Longer than any request may take.
    pub upload: Duration,
    /// How long an uploaded import is stored, and so its key is known.
    pub keep: Duration,
    /// Maximum refused rows of a party's imports in a window: a file of guessed ids would reveal which devices exist.
    pub max_refused_rows: u64,
    /// Length of a window.
    pub refusal_window: Duration,
}

/// Input of an import.
#[derive(Debug, Clone)]
pub struct ImportOrder {
    /// Authorization of the caller.
    pub authorization: Authorization,
    /// What one refused row means for the others.
    pub mode: ImportMode,
    /// Idempotency key of the caller.
    pub key: Option<IdempotencyKey>,
}

/// A complete upload, of this or an earlier request.
#[derive(Debug, Clone)]
pub struct Received {
    /// The import.
    pub import: Import,
    /// Whether an earlier request with the same key uploaded it.
    pub replayed: bool,
    /// SHA-256 of the file.
    pub file: [u8; 32],
    /// Number of rows that could not be read, of those that this request read.
    pub unread: u64,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The role is too low, or the kind of party may not import devices.
    #[error("Role does not allow this")]
    Forbidden,
    /// An earlier request with the same key had another fingerprint.
    #[error("Idempotency-Key was used for another request")]
    KeyReused,
    /// The file has more rows than the limit.
    #[error("at most {0} rows are accepted: split the file")]
    TooManyRows(u64),
    /// Too many rows of the party's imports were refused. Finished batches stay; a request with the same key can resume later.
    #[error("Too many refused rows, try again later")]
    TooManyRefused {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store is unavailable or failed. Finished batches stay; a request with the same key resumes.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ImportDevices {
    /// Creates the use case; import ids are generated from `entropy`.
    #[must_use]
    pub(crate) fn new(
        stores: ImportStores,
        files: Arc<dyn ImportFiles>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: ImportLimits,
    ) -> Self {
        Self { stores, files, clock, entropy, limits }
    }

    /// Starts an upload and returns the receiver of its file.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn receive(&self, order: ImportOrder, format: ImportFormat) -> Result<Receiver, ImportError> {
        let upload = self.begin(order).await?;
        Ok(Receiver::new(format, self.files.parser(format), self.limits.max_rows, upload))
    }

    /// Starts an upload of rows that are parsed already.
    ///
    /// # Errors
    /// [`ImportError::Forbidden`], [`ImportError::TooManyRefused`], [`ImportError::Storage`].
    pub async fn begin(&self, order: ImportOrder) -> Result<Upload, ImportError> {
        order.authorization.authorize(Action::ImportDevices).map_err(|_| ImportError::Forbidden)?;
        self.refusals().remaining(order.authorization.scope(), self.clock.now()).await?;
        upload::sweep(&*self.stores.staging, self.clock.now()).await;
        let id = crate::support::random::uuid(&*self.entropy);
        Upload::begin(self.stores.staging.clone(), self.clock.clone(), self.limits, order, id).await
    }

    /// Applies an uploaded import as far as the authorization allows, and returns it as completed. An import that was completed
    /// before is returned unchanged. `progress` is called with the number of the last row of each batch.
    ///
    /// Refused rows are audited and count against the party's limit. Above the limit, an all-or-nothing import is refused
    /// without checking its remaining rows, and a best-effort import stops; a repeated request resumes it later.
    ///
    /// If the future is dropped, whole batches are done, and a repeated request does the others.
    ///
    /// # Errors
    /// [`ImportError::TooManyRefused`], [`ImportError::Storage`].
    pub async fn apply(
        &self,
        authorization: &Authorization,
        Received { import: received, file, unread, .. }: &Received,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Import, ImportError> {
        if received.state != ImportState::Uploaded {
            return Ok(received.clone());
        }
        let (imports, import) = (&self.stores.imports, &received.import);
        let limit = self.refusals();
        let remaining = limit.remaining(import.owner, self.clock.now()).await?;
        let mut refusals = Refusals { import: received, file, audited: 0 };
        let (mut checked, mut refused) = (0_u64, 0_u64);
        self.extend_lifetime(import).await?;
        let mut checks =
            Checks::new(authorization.clone(), self.stores.directory.clone(), self.stores.locations.clone());
        let mut after = 0;
        loop {
            let rows = imports.pending_rows(import, after, BATCH).await?;
            let Some(last) = rows.last() else { break };
            match received.mode {
                ImportMode::AllOrNothing if refused > 0 && remaining.is_some_and(|most| checked >= most) => break,
                ImportMode::BestEffort if remaining.is_some_and(|most| refused >= most) => {
                    limit.record(&mut refusals, refused, self.clock.now()).await?;
                    limit.remaining(import.owner, self.clock.now()).await?;
                }
                ImportMode::AllOrNothing | ImportMode::BestEffort => {}
            }
            after = last.number;
            let mut decisions = Vec::new();
            checked = checked.saturating_add(rows.len() as u64);
            for row in rows {
                let number = row.number;
                match (check_row(&mut checks, &row).await?, received.mode) {
                    (Err(refusal), _) => {
                        refused = refused.saturating_add(1);
                        decisions.push(RowDecision { number, decision: Err(refusal) });
                    }
                    // All devices are created at the end, in one transaction.
                    (Ok(()), ImportMode::AllOrNothing) => {}
                    (Ok(()), ImportMode::BestEffort) => {
                        let new = row.device.provision(received.audit_context.clone(), self.clock.now());
                        decisions.push(RowDecision { number, decision: Ok(new) });
                    }
                }
            }
            // Before a repeated request can read these rows, so that an interrupted import does not bypass the limit.
            if received.mode == ImportMode::BestEffort && refused.saturating_sub(refusals.audited) >= AUDIT_BATCH {
                limit.record(&mut refusals, refused, self.clock.now()).await?;
            }
            if !decisions.is_empty() {
                imports.apply_decisions(import, &decisions).await?;
            }
            progress(after);
        }
        self.extend_lifetime(import).await?;
        let refused_rows = refused.saturating_add(*unread);
        let all_refused = refused_rows > 0 && received.mode == ImportMode::AllOrNothing;
        let refused_rows = if all_refused { received.rows } else { refused_rows };
        limit.record(&mut refusals, refused_rows, self.clock.now()).await?;
        let ended = imports.complete(import, self.clock.now()).await?;
        if matches!(ended.state, ImportState::Refused { .. }) {
            limit.record(&mut refusals, ended.rows, self.clock.now()).await?;
        }
        tracing::info!(import_id = %import.id, mode = %ended.mode, rows = ended.rows, state = ?ended.state, "import ended");
        Ok(ended)
    }

    fn refusals(&self) -> RefusalLimit {
        RefusalLimit { trail: self.stores.trail.clone(), limits: self.limits }
    }

    /// Extends the lifetime of an import while it is applied or its report is read.
    async fn extend_lifetime(&self, import: &ImportRef) -> Result<(), StorageError> {
        let now = self.clock.now();
        if self.stores.staging.extend(import, now, now.saturating_add(self.limits.upload)).await? {
            return Ok(());
        }
        Err(upload::expired())
    }

    /// Encoders of the lines of a report.
    #[must_use]
    pub fn files(&self) -> Arc<dyn ImportFiles> {
        self.files.clone()
    }

    /// Report on the rows of a completed import.
    #[must_use]
    pub fn report(&self, ended: &Import) -> ImportReport {
        ImportReport::of(self.stores.imports.clone(), ended)
    }
}

/// Decides whether a row is imported. The merchant is checked first, so that a row for another tenant's merchant does not
/// reveal which devices exist.
async fn check_row(checks: &mut Checks, row: &PendingRow) -> Result<Result<(), RowRefusal>, StorageError> {
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
