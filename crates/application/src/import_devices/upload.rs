use std::sync::Arc;

use pos_domain::{Fingerprint, ImportId};
use pos_port_clock::Clock;
use pos_port_storage::{Import, ImportRef, ImportStaging, NewImport, Seal, SealError, StagedRow};
use uuid::Uuid;

use super::{BATCH, ImportError, ImportLimits, ImportOrder, ReadRow, Received};

/// A file on its way in: at most one batch of its rows is in memory. Dropped before its end it comes to nothing.
pub struct Upload {
    staging: Arc<dyn ImportStaging>,
    clock: Arc<dyn Clock>,
    limits: ImportLimits,
    order: ImportOrder,
    import: ImportRef,
    /// What the key is kept by: then the rows are there already.
    known: Option<Import>,
    rows: u64,
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
        Ok(Self { staging, clock, limits, order, import, known, rows: 0, waiting: Vec::new() })
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
        self.waiting.push(StagedRow { number: self.rows, read });
        if self.waiting.len() >= BATCH as usize { self.stage().await } else { Ok(()) }
    }

    async fn stage(&mut self) -> Result<(), ImportError> {
        if !self.waiting.is_empty() {
            self.staging.stage(&self.import, &self.waiting).await?;
            self.waiting.clear();
        }
        Ok(())
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
                    Ok(import) => return Ok(Received { import, replayed: false }),
                    // What was staged here is nobody's now, and goes when its time is over.
                    Err(SealError::Kept(kept)) => *kept,
                    Err(SealError::Storage(error)) => return Err(error.into()),
                }
            }
        };
        if known.fingerprint == fingerprint {
            Ok(Received { import: known, replayed: true })
        } else {
            Err(ImportError::KeyReused)
        }
    }
}
