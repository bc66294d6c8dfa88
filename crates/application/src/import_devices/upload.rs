use std::sync::Arc;

use pos_domain::{Fingerprint, ImportId};
use pos_port_clock::Clock;
use pos_port_storage::{Import, ImportRef, ImportStaging, NewImport, Seal, SealError, StagedRow, StorageError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{BATCH, ImportError, ImportLimits, ImportOrder, ReadRow, Received, SWEEP};

/// A file on its way in: at most one batch of its rows is in memory. Dropped before its end it comes to nothing, and what
/// was staged goes when its time is over, or at once with [`Upload::discard`].
pub struct Upload {
    staging: Arc<dyn ImportStaging>,
    clock: Arc<dyn Clock>,
    limits: ImportLimits,
    order: ImportOrder,
    import: ImportRef,
    /// What the key is kept by: then the rows are there already.
    known: Option<Import>,
    rows: u64,
    unread: u64,
    waiting: Vec<StagedRow>,
}

impl Upload {
    pub(super) async fn begin(
        staging: Arc<dyn ImportStaging>,
        clock: Arc<dyn Clock>,
        limits: ImportLimits,
        order: ImportOrder,
        id: Uuid,
    ) -> Result<Self, ImportError> {
        let (import, now) = (ImportRef { id: ImportId(id), owner: order.mandate.scope() }, clock.now());
        let known = match &order.key {
            Some(key) => staging.find_by_key(import.owner, key, now).await?,
            None => None,
        };
        // It must be there until this call has read its report.
        let known = match known {
            Some(known) if staging.keep(&known.import, now, now.saturating_add(limits.upload)).await? => Some(known),
            _ => None,
        };
        if known.is_none() {
            let new = NewImport {
                import,
                mode: order.mode,
                act: order.mandate.act().clone(),
                key: order.key.clone(),
                created_at: now,
                keep_until: now.saturating_add(limits.upload),
            };
            staging.open(&new).await?;
        }
        Ok(Self { staging, clock, limits, order, import, known, rows: 0, unread: 0, waiting: Vec::new() })
    }

    /// Whether rows are wanted. If not, an earlier call brought them, and [`Upload::finish`] says whether the file is
    /// the same.
    #[must_use]
    pub fn wants_rows(&self) -> bool {
        self.known.is_none()
    }

    /// Takes the next row of the file.
    ///
    /// # Errors
    /// [`ImportError::TooManyRows`], [`ImportError::Storage`].
    pub async fn push(&mut self, read: ReadRow) -> Result<(), ImportError> {
        if self.rows >= self.limits.max_rows {
            return Err(ImportError::TooManyRows(self.limits.max_rows));
        }
        self.rows += 1;
        self.unread += u64::from(read.is_err());
        self.waiting.push(StagedRow { number: self.rows, read });
        if self.waiting.len() >= BATCH as usize { self.stage().await } else { Ok(()) }
    }

    async fn stage(&mut self) -> Result<(), ImportError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.staging.stage(&self.import, &self.waiting, now.saturating_add(self.limits.upload)).await?;
        self.waiting.clear();
        // More than came: so what is over never grows.
        sweep(&*self.staging, now).await;
        Ok(())
    }

    /// Removes what was staged, of a file that does not come to its end.
    pub async fn discard(self) {
        if self.known.is_none() {
            discard(&*self.staging, &self.import).await;
        }
    }

    /// Ends the upload. `format` and `body`, the SHA-256 of the file, are what makes two files the same.
    ///
    /// # Errors
    /// [`ImportError::KeyReused`], [`ImportError::Storage`].
    pub async fn finish(mut self, format: &str, body: [u8; 32]) -> Result<Received, ImportError> {
        let asked: [&[u8]; 4] = [b"import of devices", self.order.mode.as_str().as_bytes(), format.as_bytes(), &body];
        let fingerprint = Fingerprint::of(&asked);
        let known = match self.known.take() {
            Some(known) => known,
            None => {
                self.stage().await?;
                let now = self.clock.now();
                // Not before whoever applies it can have ended.
                let keep_until = now.saturating_add(self.limits.keep.max(self.limits.upload));
                let seal = Seal { fingerprint, rows: self.rows, at: now, keep_until };
                match self.staging.seal(&self.import, &seal).await {
                    Ok(import) => return Ok(Received { import, replayed: false, file: body, unread: self.unread }),
                    Err(SealError::Kept(kept)) => {
                        discard(&*self.staging, &self.import).await;
                        *kept
                    }
                    Err(SealError::Storage(error)) => return Err(error.into()),
                }
            }
        };
        if known.fingerprint != fingerprint {
            return Err(ImportError::KeyReused);
        }
        let now = self.clock.now();
        if !self.staging.keep(&known.import, now, now.saturating_add(self.limits.upload)).await? {
            return Err(over().into());
        }
        Ok(Received { import: known, replayed: true, file: body, unread: 0 })
    }
}

/// An import went while a call was about it.
pub(super) fn over() -> StorageError {
    StorageError::Unavailable("the import is over: it must be sent again".into())
}

/// Removes an upload. What cannot be removed now goes when its time is over.
async fn discard(staging: &dyn ImportStaging, import: &ImportRef) {
    loop {
        match staging.discard(import, SWEEP).await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an upload that came to nothing was not removed"
                );
                return;
            }
        }
    }
}

/// Removes some of what is over. What cannot be removed now goes some other time.
pub(super) async fn sweep(staging: &dyn ImportStaging, now: OffsetDateTime) {
    if let Err(error) = staging.remove_expired(now, SWEEP).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "imports that are over were not removed");
    }
}
