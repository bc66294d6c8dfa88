//! Upload of an import file.

use std::sync::Arc;

use pos_domain::fleet::ImportId;
use pos_domain::shared::Fingerprint;
use pos_port_clock::Clock;
use pos_port_storage::fleet::{FinalizeError, Import, ImportRef, ImportStaging, NewImport, StagedRow, UploadSummary};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::fleet::import_devices::{BATCH, ImportError, ImportLimits, ImportOrder, ReadRow, Received, SWEEP_ROWS};

/// An upload in progress: at most one batch of its rows is in memory. If it is dropped, nothing is imported, and staged rows
/// are deleted when they expire, or at once with [`Upload::discard`].
pub struct Upload {
    staging: Arc<dyn ImportStaging>,
    clock: Arc<dyn Clock>,
    limits: ImportLimits,
    order: ImportOrder,
    import: ImportRef,
    /// The import that has the key already; then its rows are uploaded.
    existing: Option<Import>,
    rows: u64,
    unread: u64,
    buffered: Vec<StagedRow>,
}

impl Upload {
    pub(crate) async fn begin(
        staging: Arc<dyn ImportStaging>,
        clock: Arc<dyn Clock>,
        limits: ImportLimits,
        order: ImportOrder,
        id: Uuid,
    ) -> Result<Self, ImportError> {
        let (import, now) = (ImportRef { id: ImportId(id), owner: order.authorization.scope() }, clock.now());
        let existing = match &order.key {
            Some(key) => staging.find_by_key(import.owner, key, now).await?,
            None => None,
        };
        // It must not expire before this request has read its report.
        let existing = match existing {
            Some(existing) if staging.extend(&existing.import, now, now.saturating_add(limits.upload)).await? => {
                Some(existing)
            }
            _ => None,
        };
        if existing.is_none() {
            let new = NewImport {
                import,
                mode: order.mode,
                audit_context: order.authorization.audit_context().clone(),
                key: order.key.clone(),
                created_at: now,
                expires_at: now.saturating_add(limits.upload),
            };
            staging.open(&new).await?;
        }
        Ok(Self { staging, clock, limits, order, import, existing, rows: 0, unread: 0, buffered: Vec::new() })
    }

    /// Whether rows must be uploaded. If not, an earlier request uploaded them, and [`Upload::finish`] checks that the file is
    /// the same.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        self.existing.is_none()
    }

    /// Adds the next row of the file.
    ///
    /// # Errors
    /// [`ImportError::TooManyRows`], [`ImportError::Storage`].
    pub async fn push(&mut self, read: ReadRow) -> Result<(), ImportError> {
        if self.rows >= self.limits.max_rows {
            return Err(ImportError::TooManyRows(self.limits.max_rows));
        }
        self.rows += 1;
        self.unread += u64::from(read.is_err());
        self.buffered.push(StagedRow { number: self.rows, read });
        if self.buffered.len() >= BATCH as usize { self.stage().await } else { Ok(()) }
    }

    async fn stage(&mut self) -> Result<(), ImportError> {
        if self.buffered.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.staging.stage(&self.import, &self.buffered, now.saturating_add(self.limits.upload)).await?;
        self.buffered.clear();
        // Deletes more rows than were staged, so that expired rows do not accumulate.
        sweep(&*self.staging, now).await;
        Ok(())
    }

    /// Deletes the staged rows of an incomplete file.
    pub async fn discard(self) {
        if self.existing.is_none() {
            discard(&*self.staging, &self.import).await;
        }
    }

    /// Completes the upload. Two files are the same if their `format` and their `body`, the SHA-256 of the file, are equal.
    ///
    /// # Errors
    /// [`ImportError::KeyReused`], [`ImportError::Storage`].
    pub async fn finish(mut self, format: &str, body: [u8; 32]) -> Result<Received, ImportError> {
        let asked: [&[u8]; 4] = [b"import of devices", self.order.mode.as_str().as_bytes(), format.as_bytes(), &body];
        let fingerprint = Fingerprint::of(&asked);
        let existing = match self.existing.take() {
            Some(existing) => existing,
            None => {
                self.stage().await?;
                let now = self.clock.now();
                // Not before a request that applies it must have ended.
                let expires_at = now.saturating_add(self.limits.keep.max(self.limits.upload));
                let summary = UploadSummary { fingerprint, rows: self.rows, at: now, expires_at };
                match self.staging.finalize_upload(&self.import, &summary).await {
                    Ok(import) => return Ok(Received { import, replayed: false, file: body, unread: self.unread }),
                    Err(FinalizeError::Kept(existing)) => {
                        discard(&*self.staging, &self.import).await;
                        *existing
                    }
                    Err(FinalizeError::Storage(error)) => return Err(error.into()),
                }
            }
        };
        if existing.fingerprint != fingerprint {
            return Err(ImportError::KeyReused);
        }
        let now = self.clock.now();
        if !self.staging.extend(&existing.import, now, now.saturating_add(self.limits.upload)).await? {
            return Err(expired().into());
        }
        Ok(Received { import: existing, replayed: true, file: body, unread: 0 })
    }
}

/// Error for an import that expired during a request.
pub(crate) fn expired() -> StorageError {
    StorageError::Unavailable("the import has expired: send it again".into())
}

/// Deletes an upload. Rows that cannot be deleted now are deleted when they expire.
async fn discard(staging: &dyn ImportStaging, import: &ImportRef) {
    loop {
        match staging.discard(import, SWEEP_ROWS).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to delete an incomplete upload");
                return;
            }
        }
    }
}

/// Deletes some expired rows. Errors are logged, and a later call retries.
pub(crate) async fn sweep(staging: &dyn ImportStaging, now: OffsetDateTime) {
    if let Err(error) = staging.remove_expired(now, SWEEP_ROWS).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "failed to delete expired imports");
    }
}
