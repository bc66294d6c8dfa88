use async_trait::async_trait;
use pos_domain::{
    Act, DeviceId, Fingerprint, IdempotencyKey, ImportId, ImportMode, ImportedDevice, RowRefusal, Scope, Transition,
};
use time::OffsetDateTime;

use crate::StorageError;

/// Takes the rows of an import as they arrive. Nobody but their uploader knows of them until they are sealed.
///
/// ```text
///   open ──▶ stage, stage, stage … ──▶ seal ──▶ what ImportRepository does
///     └──────────────┴── nobody goes on: removed once its time is over
/// ```
#[async_trait]
pub trait ImportStaging: Send + Sync {
    /// The sealed import that is kept under an owner's key, unless its time is over at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find_by_key(
        &self,
        owner: Scope,
        key: &IdempotencyKey,
        now: OffsetDateTime,
    ) -> Result<Option<Import>, StorageError>;

    /// Begins an upload.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn open(&self, import: &NewImport) -> Result<(), StorageError>;

    /// Keeps rows of an upload, all or none, and the upload until `keep_until` at least.
    ///
    /// # Errors
    /// [`StorageError::Fault`] when the upload is not there, is sealed, or has a row of one of these numbers.
    async fn stage(
        &self,
        import: &ImportRef,
        rows: &[StagedRow],
        keep_until: OffsetDateTime,
    ) -> Result<(), StorageError>;

    /// Ends an upload and, if it has a key, keeps it under that. Of uploads that are sealed with one key, on whatever
    /// replicas, one is; a key whose time is over at [`Seal::at`] is free.
    ///
    /// # Errors
    /// [`SealError::Kept`] when the key is kept; then nothing has changed. [`StorageError::Fault`] when the upload is
    /// not there, is sealed already, has not as many rows as [`Seal::rows`] says, or its time is over at [`Seal::at`].
    async fn seal(&self, import: &ImportRef, seal: &Seal) -> Result<Import, SealError>;

    /// Keeps a sealed import until `until` at least: to be called by whoever goes on with it. False when it is not
    /// there or its time is over at `now`.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn keep(&self, import: &ImportRef, now: OffsetDateTime, until: OffsetDateTime) -> Result<bool, StorageError>;

    /// Forgets an upload that comes to nothing, at most `limit` rows of it in one transaction: from the first call on
    /// nothing can be staged and it cannot be sealed. Answers how many rows and imports went: call again until it is 0.
    /// One that is sealed or not there is left alone.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn discard(&self, import: &ImportRef, limit: u32) -> Result<u64, StorageError>;

    /// Forgets imports whose time is over at `now`, uploads and sealed ones alike, at most `limit` rows of them in one
    /// transaction. Answers how many rows and imports went: call again until it is 0. Devices stay. An import is
    /// forgotten before its first row goes: nobody finds half of one.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn remove_expired(&self, now: OffsetDateTime, limit: u32) -> Result<u64, StorageError>;
}

/// Sealed imports: what is to be done with their rows, and what was. Every call names the owner; an import that is not
/// that owner's is not found.
#[async_trait]
pub trait ImportRepository: Send + Sync {
    /// The import, once it is sealed.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError>;

    /// Rows of a sealed import that nothing was decided about, after this number, in order.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own; a row that cannot be read is [`StorageError::Fault`].
    async fn undecided(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<UndecidedRow>, StorageError>;

    /// Does what was decided, each row at most once: rows that were decided meanwhile, by whomever, are left alone. A
    /// device is created with its first event and its row's outcome in one transaction, which is the same for all rows
    /// of the call. A device that cannot be created is refused by the store: for the merchant if the owner does not see
    /// it, for the location if it is not the merchant's, else as taken.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own. A transition of a device that is not new is [`StorageError::Fault`].
    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError>;

    /// Ends an import and answers it as it is then; one that has ended is answered as it is.
    ///
    /// [`ImportMode::BestEffort`]: to be called when no row is undecided; if one is, it does not end. [`ImportMode::AllOrNothing`]: refused if a row
    /// is; else all undecided rows become devices in one transaction, unless the store refuses one as
    /// [`ImportRepository::decide`] does: then none does, and that row and the import are refused. Of callers at once
    /// one does it and the others wait for it, as long as for a connection.
    ///
    /// This may take minutes: the store's usual time limit does not hold. If the caller goes away, the transaction is
    /// kept whole or not at all.
    ///
    /// # Errors
    /// [`StorageError::Fault`] when the import is not there, or has lost rows. [`StorageError::Unavailable`] when a row is
    /// undecided, or too many imports end at once. Otherwise [`StorageError`]'s own.
    async fn conclude(&self, import: &ImportRef, now: OffsetDateTime) -> Result<Import, StorageError>;

    /// What became of the rows of an import that has ended, after this number, in order.
    ///
    /// # Errors
    /// As [`ImportRepository::undecided`]; a row of which nothing is known is one that cannot be read.
    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError>;
}

/// Which import, and whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportRef {
    /// Which.
    pub id: ImportId,
    /// On whose behalf: what a row names must be seen by it.
    pub owner: Scope,
}

/// An import that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// Which, and whose.
    pub import: ImportRef,
    /// What one refused row means for the others.
    pub mode: ImportMode,
    /// Who sends it; every device's first event will say so.
    pub act: Act,
    /// The caller's name for it.
    pub key: Option<IdempotencyKey>,
    /// When it began.
    pub created_at: OffsetDateTime,
    /// When it may be removed unless it is sealed.
    pub keep_until: OffsetDateTime,
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRow {
    /// Its number among the data rows of the file, from 1.
    pub number: u64,
    /// What it asks for, or why it cannot.
    pub read: Result<ImportedDevice, UnreadRow>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadRow {
    /// The id it names, if it can be shown: a [`DeviceId`] in the form a terminal may send.
    pub device_id: Option<DeviceId>,
    /// Why not.
    pub refusal: RowRefusal,
}

/// The end of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// What was asked for, the whole file included.
    pub fingerprint: Fingerprint,
    /// How many rows it has.
    pub rows: u64,
    /// When.
    pub at: OffsetDateTime,
    /// From when on it may be forgotten.
    pub keep_until: OffsetDateTime,
}

/// A sealed import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Which, and whose.
    pub import: ImportRef,
    /// What one refused row means for the others.
    pub mode: ImportMode,
    /// Who sent it.
    pub act: Act,
    /// What was asked for.
    pub fingerprint: Fingerprint,
    /// How many rows it has.
    pub rows: u64,
    /// How far it is.
    pub state: ImportState,
}

/// How far a sealed import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportState {
    /// Its rows are there, and not all of them are done.
    Sealed,
    /// It has ended; each row has its own result.
    Applied,
    /// It has ended: it was all or nothing, and nothing was imported because of this row.
    Refused {
        /// The number of the first refused row.
        row: u64,
    },
}

/// A row about which something is to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecidedRow {
    /// Its number.
    pub number: u64,
    /// What it asks for.
    pub device: ImportedDevice,
    /// The first row of the same import that names the same device, if that is an earlier one.
    pub earlier: Option<u64>,
    /// Whether there is a device of this id now.
    pub taken: bool,
}

/// What is to be done with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowVerdict {
    /// Its number.
    pub number: u64,
    /// The device to create, or why not. A refusal is never [`RowRefusal::NotImported`], which the import's end gives.
    pub verdict: Result<Transition, RowRefusal>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowResult {
    /// Its number.
    pub number: u64,
    /// The device it names, if it names one that can be shown.
    pub device_id: Option<DeviceId>,
    /// Whether there is such a device now, or why not.
    pub outcome: Result<(), RowRefusal>,
}

/// Why an upload is not sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Its key is kept by this import.
    #[error("the key is kept by another import")]
    Kept(Box<Import>),
    /// See [`StorageError`].
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl StagedRow {
    /// The id it names, if it can be shown.
    #[must_use]
    pub fn device_id(&self) -> Option<&DeviceId> {
        match &self.read {
            Ok(device) => Some(&device.id),
            Err(unread) => unread.device_id.as_ref(),
        }
    }
}
