//! Receiver of a device file: limits its size, computes its digest, and stages its rows.

use sha2::{Digest as _, Sha256};

use crate::fleet::import_devices::files::{FileFault, ImportFormat, MAX_ROW_BYTES, ReadRow, RowParser};
use crate::fleet::import_devices::{ImportError, Received, Upload};

/// Maximum number of bytes that are parsed before their rows are staged. It bounds the buffered rows for chunks of any size.
const CHUNK: usize = 16_384;

/// Receives a file in chunks and stages its rows in an upload. [`ImportDevices::receive`](super::ImportDevices::receive)
/// creates it.
pub struct Receiver {
    format: ImportFormat,
    parser: Box<dyn RowParser + Send>,
    digest: Sha256,
    left: u64,
    max_bytes: u64,
    rows: Vec<ReadRow>,
    upload: Upload,
}

/// Returns the maximum size of a file with `max_rows` rows, in bytes: one more row for the header line.
#[must_use]
pub fn max_file_bytes(max_rows: u64) -> u64 {
    max_rows.saturating_add(1).saturating_mul(MAX_ROW_BYTES as u64)
}

/// Why a file cannot be received. Nothing of it is imported then.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Its header line is invalid.
    #[error(transparent)]
    File(#[from] FileFault),
    /// It is larger than its maximum number of rows allows.
    #[error("the file is larger than {0} bytes: split it")]
    TooManyBytes(u64),
    /// See [`ImportError`].
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl Receiver {
    /// Creates a receiver for a file with at most `max_rows` rows.
    pub(crate) fn new(format: ImportFormat, parser: Box<dyn RowParser + Send>, max_rows: u64, upload: Upload) -> Self {
        let max_bytes = max_file_bytes(max_rows);
        Self { format, parser, digest: Sha256::new(), left: max_bytes, max_bytes, rows: Vec::new(), upload }
    }

    /// Receives the next chunk of the file.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn feed(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ReceiveError::TooManyBytes(self.max_bytes))?;
        self.digest.update(bytes);
        if !self.upload.wants_rows() {
            return Ok(());
        }
        for chunk in bytes.chunks(CHUNK) {
            self.parser.feed(chunk, &mut self.rows)?;
            stage(&mut self.upload, &mut self.rows).await?;
        }
        Ok(())
    }

    /// Deletes the staged rows of an incomplete file.
    pub async fn discard(self) {
        self.upload.discard().await;
    }

    /// Ends the file and finalizes the upload.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn finish(self) -> Result<Received, ReceiveError> {
        let Self { format, parser, digest, mut rows, mut upload, .. } = self;
        if upload.wants_rows() {
            parser.finish(&mut rows)?;
            stage(&mut upload, &mut rows).await?;
        }
        Ok(upload.finish(format.as_str(), digest.finalize().into()).await?)
    }
}

async fn stage(upload: &mut Upload, rows: &mut Vec<ReadRow>) -> Result<(), ImportError> {
    for row in rows.drain(..) {
        upload.push(row).await?;
    }
    Ok(())
}
