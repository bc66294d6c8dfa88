use pos_application::{ImportError, ReadRow, Received, Upload};
use sha2::{Digest as _, Sha256};

use super::ImportFormat;
use super::parser::{FileFault, MAX_ROW_BYTES, RowParser};

/// How much is parsed before its rows go on: it bounds the rows that wait, however large the pieces come.
const PIECE: usize = 16_384;

/// Takes a file in pieces into an upload.
pub struct Receiver {
    format: ImportFormat,
    parser: RowParser,
    digest: Sha256,
    left: u64,
    max_bytes: u64,
    rows: Vec<ReadRow>,
    upload: Upload,
}

/// The most bytes that a file of so many rows may have: one row more for the header line.
#[must_use]
pub fn max_file_bytes(max_rows: u64) -> u64 {
    max_rows.saturating_add(1).saturating_mul(MAX_ROW_BYTES as u64)
}

/// Why a file is not received. Nothing of it is imported then.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Its header line is at fault.
    #[error(transparent)]
    File(#[from] FileFault),
    /// It has more bytes than its rows may have.
    #[error("at most {0} bytes are accepted: split the file")]
    TooManyBytes(u64),
    /// See [`ImportError`].
    #[error(transparent)]
    Import(#[from] ImportError),
}

impl Receiver {
    /// A receiver at the beginning of a file that has at most `max_rows` rows.
    #[must_use]
    pub fn new(format: ImportFormat, max_rows: u64, upload: Upload) -> Self {
        let max_bytes = max_file_bytes(max_rows);
        Self {
            format,
            parser: RowParser::new(format),
            digest: Sha256::new(),
            left: max_bytes,
            max_bytes,
            rows: Vec::new(),
            upload,
        }
    }

    /// Takes the next piece of the file.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn feed(&mut self, bytes: &[u8]) -> Result<(), ReceiveError> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(ReceiveError::TooManyBytes(self.max_bytes))?;
        self.digest.update(bytes);
        if !self.upload.wants_rows() {
            return Ok(());
        }
        for piece in bytes.chunks(PIECE) {
            self.parser.feed(piece, &mut self.rows)?;
            self.hand_on().await?;
        }
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<(), ImportError> {
        for row in self.rows.drain(..) {
            self.upload.push(row).await?;
        }
        Ok(())
    }

    /// Removes what came of a file that does not come to its end.
    pub async fn discard(self) {
        self.upload.discard().await;
    }

    /// Ends the file and seals its import.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub async fn finish(mut self) -> Result<Received, ReceiveError> {
        if self.upload.wants_rows() {
            let parser = std::mem::replace(&mut self.parser, RowParser::new(self.format));
            parser.finish(&mut self.rows)?;
            self.hand_on().await?;
        }
        Ok(self.upload.finish(self.format.as_str(), self.digest.finalize().into()).await?)
    }
}
