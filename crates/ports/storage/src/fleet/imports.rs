//! Import ports: staging of uploaded rows, and their decisions and results.

use async_trait::async_trait;
use pos_domain::device::Transition;
use pos_domain::fleet::{ImportId, ImportMode, ImportedDevice, RowRefusal};
use pos_domain::shared::{AuditContext, DeviceId, Fingerprint, IdempotencyKey, Scope};
use time::OffsetDateTime;

use crate::shared::StorageError;

/// Stores the rows of an import as they arrive. They are visible only to the uploader until the upload is finalized.
///
/// ```text
///   open ──▶ stage, stage, stage … ──▶ finalize ──▶ what ImportRepository does
///     └──────────────┴── abandoned: removed when it is expired
/// ```
#[async_trait]
pub trait ImportStaging: Send + Sync {
    /// Returns the uploaded import with an owner's key, unless it is expired at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError>;

    /// Starts an upload.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn open(&self, import: &NewImport) -> Result<(), StorageError>;

    /// Stores rows of an upload, all or none, and extends the upload's expiry to at least `expires_at`.
    ///
    /// # Errors
    /// [`StorageError::Fault`] if the upload does not exist, is finalized, or already has a row with one of these
    /// numbers.
    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        expires_at: OffsetDateTime,
    ) -> Result<(), StorageError>;

    /// Finalizes an upload and, if it has a key, stores it under that key. Of uploads finalized with one key, on any
    /// replica, one succeeds; a key that is expired at [`UploadSummary::at`] can be used again.
    ///
    /// # Errors
    /// [`FinalizeError::Kept`] if the key is in use; then nothing has changed. [`StorageError::Fault`] if the upload
    /// does not exist, is already finalized, does not have [`UploadSummary::rows`] rows, or is expired at
    /// [`UploadSummary::at`].
    async fn finalize_upload(&self, import: &ImportRef, summary: &UploadSummary) -> Result<Import, FinalizeError>;

    /// Extends the expiry of an uploaded import to at least `until`; the caller that continues with the import calls it.
    /// Returns false if it does not exist or is expired at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn extend(
        &self,
        import: &ImportRef,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<bool, StorageError>;

    /// Discards an unfinished upload, at most `limit` rows of it in one transaction. After the first call nothing can
    /// be staged and it cannot be finalized. Returns the number of deleted rows and imports: call again until it is 0.
    /// An import that is finalized or does not exist is ignored.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError>;

    /// Deletes imports that are expired at `now`, finalized or not, at most `limit` rows of them in one transaction.
    /// Returns the number of deleted rows and imports: call again until it is 0. Devices are not deleted. An import is
    /// marked as discarded before its first row is deleted, so nobody finds an incomplete one.
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError>;
}

/// Uploaded imports: the decisions about their rows, and the results. Every call names the owner; another owner's
/// import is not found.
#[async_trait]
pub trait ImportRepository: Send + Sync {
    /// Returns the import, if its upload is finalized.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError>;

    /// Returns the pending rows of an uploaded import, after this number, in order.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn pending_rows(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<PendingRow>, StorageError>;

    /// Applies decisions, each row at most once: rows decided meanwhile by another caller are ignored. A device is
    /// created with its first event and its row's outcome in one transaction, which is the same for all rows of the
    /// call. A device that cannot be created is refused by the store: for its merchant if it is out of the owner's
    /// scope, for its location if that is not the merchant's, else because its id exists.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own. A transition of a device that is not new is [`StorageError::Fault`].
    async fn apply_decisions(&self, import: &ImportRef, decisions: &[RowDecision]) -> Result<(), StorageError>;

    /// Completes an import and returns it; an import that is already complete is returned as it is.
    ///
    /// [`ImportMode::BestEffort`]: call it when no row is pending; if one is, the import is not completed.
    /// [`ImportMode::AllOrNothing`]: refused if a row is; else all pending rows become devices in one transaction,
    /// unless the store refuses one as [`ImportRepository::apply_decisions`] does: then no device is created, and that row and
    /// the import are refused. Of concurrent callers one does it and the others wait for it, at most as long as for a
    /// connection.
    ///
    /// This may take minutes: the store's usual time limit does not apply. If the caller disconnects, the transaction
    /// is committed or rolled back as a whole.
    /// # Errors
    /// [`StorageError::Fault`] if the import does not exist or has lost rows. [`StorageError::Unavailable`] if a row is
    /// pending, or if too many imports complete at once. Otherwise [`StorageError`]'s own.
    async fn complete(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError>;

    /// Returns the results of a completed import's rows, after this number, in order.
    ///
    /// # Errors
    /// As [`ImportRepository::pending_rows`]; a row without a result is one that cannot be read.
    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError>;
}

/// Id and owner of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportRef {
    /// Id of the import.
    pub id: ImportId,
    /// Owner: the merchants that rows name must be in this scope.
    pub owner: Scope,
}

/// A new upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Id and owner.
    pub import: ImportRef,
    /// Effect of a refused row on the others.
    pub mode: ImportMode,
    /// Audit context of the sender; every device's first event has it.
    pub audit_context: AuditContext,
    /// Idempotency key of the upload.
    pub key: Option<IdempotencyKey>,
    /// When it started.
    pub created_at: OffsetDateTime,
    /// When it expires unless it is finalized.
    pub expires_at: OffsetDateTime,
}

/// A parsed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRow {
    /// Number among the data rows of the file, from 1.
    pub number: u64,
    /// The device to provision, or why the row cannot be read.
    pub read: Result<ImportedDevice, UnreadRow>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadRow {
    /// Device id in the row, if it can be shown: a [`DeviceId`] in the form a terminal may send.
    pub device_id: Option<DeviceId>,
    /// Why it cannot be read.
    pub refusal: RowRefusal,
}

/// Summary of a finished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSummary {
    /// Fingerprint of the request, including the whole file.
    pub fingerprint: Fingerprint,
    /// Number of rows.
    pub rows: u64,
    /// When the upload finished.
    pub at: OffsetDateTime,
    /// When the import expires.
    pub expires_at: OffsetDateTime,
}

/// An uploaded import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Id and owner.
    pub import: ImportRef,
    /// Effect of a refused row on the others.
    pub mode: ImportMode,
    /// Audit context of the sender.
    pub audit_context: AuditContext,
    /// Fingerprint of the request.
    pub fingerprint: Fingerprint,
    /// Number of rows.
    pub rows: u64,
    /// Progress of the import.
    pub state: ImportState,
}

/// Progress of an uploaded import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    /// Its rows are stored, and some are pending.
    Uploaded,
    /// It is complete; each row has its own result.
    Applied,
    /// It is complete: the mode was all-or-nothing, and nothing was imported because of this row.
    Refused {
        /// Number of the first refused row.
        row: u64,
    },
}

/// A row without a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// Number of the row.
    pub number: u64,
    /// The device to provision.
    pub device: ImportedDevice,
    /// First earlier row of the same import with the same device id, if any.
    pub earlier: Option<u64>,
    /// Whether a device with this id exists now.
    pub taken: bool,
}

/// Decision about a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowDecision {
    /// Number of the row.
    pub number: u64,
    /// The device to create, or why it is refused. Never [`RowRefusal::NotImported`], which the completion sets.
    pub decision: Result<Transition, RowRefusal>,
}

/// Result of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowResult {
    /// Number of the row.
    pub number: u64,
    /// Device id in the row, if it can be shown.
    pub device_id: Option<DeviceId>,
    /// Success if the device was created, else why it was refused.
    pub outcome: Result<(), RowRefusal>,
}

/// Why an upload is not finalized.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// Its key is already used by this import.
    #[error("the key is used by another import")]
    Kept(Box<Import>),
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StagedRow {
    /// Returns the device id in the row, if it can be shown.
    #[must_use]
    pub fn device_id(&self) -> Option<&DeviceId> {
        match &self.read {
            Ok(device) => Some(&device.id),
            Err(unread) => unread.device_id.as_ref(),
        }
    }
}
