//! Port of device files: row parsers and report encoders of the import formats.

use std::fmt;

use pos_domain::fleet::ImportedDevice;
use pos_port_storage::fleet::{RowResult, UnreadRow};

use crate::fleet::import_devices::report::ImportTotals;

/// Maximum length of a row, in bytes of its line.
pub const MAX_ROW_BYTES: usize = 4_096;

/// Formats of device files and of the import report. An adapter implements it, so that the use case knows only bytes.
pub trait ImportFiles: Send + Sync {
    /// Creates a parser for a new file.
    fn parser(&self, format: ImportFormat) -> Box<dyn RowParser + Send>;

    /// Returns the report line of a row, without its line end.
    fn row_line(&self, result: &RowResult) -> String;

    /// Returns the report line of the totals, without its line end. A report without this line is incomplete.
    fn totals_line(&self, totals: ImportTotals) -> String;
}

/// Parser of the rows of a file that arrives in chunks of any size. It buffers at most one row.
pub trait RowParser {
    /// Parses the next chunk of the file and adds the rows that end in it.
    ///
    /// # Errors
    /// [`FileFault`]; the rest of the file must not be parsed then.
    fn feed(&mut self, chunk: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault>;

    /// Ends the file: adds the last row, if it has no line end.
    ///
    /// # Errors
    /// [`FileFault`].
    fn finish(self: Box<Self>, rows: &mut Vec<ReadRow>) -> Result<(), FileFault>;
}

/// A row as the parser returns it.
pub type ReadRow = Result<ImportedDevice, UnreadRow>;

/// Why a file is refused before any of its rows: its header line is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is no header line.
    #[error("the file is empty: it must start with a header line with the column names")]
    NoHeader,
    /// It is longer than [`MAX_ROW_BYTES`].
    #[error("the header line is longer than {MAX_ROW_BYTES} bytes")]
    HeaderTooLong,
    /// It is not UTF-8.
    #[error("the header line is not UTF-8")]
    HeaderNotUtf8,
    /// A quote in it is not closed.
    #[error("a quote is not closed at the end of the header line")]
    HeaderQuote,
    /// It has an unknown column.
    #[error("unknown column {0:?}: the columns are device_id, merchant_id, label and location_id")]
    UnknownColumn(String),
    /// It has a column twice.
    #[error("the column {0} occurs twice")]
    RepeatedColumn(&'static str),
    /// A required column is missing.
    #[error("the column {0} is missing")]
    MissingColumn(&'static str),
}

/// The format of a device file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// A header line with the column names in any order, then one line per device.
    Csv,
    /// One JSON object per line.
    JsonLines,
}

impl ImportFormat {
    /// Returns the format of a media type (without parameters); `None` for any other.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" | "application/jsonl" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Returns the format of a file name extension; `None` for any other.
    #[must_use]
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// `csv` or `jsonl`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

impl fmt::Display for ImportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stand-in where no files are imported: its parsers find no row.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoImportFiles;

impl ImportFiles for NoImportFiles {
    fn parser(&self, _: ImportFormat) -> Box<dyn RowParser + Send> {
        Box::new(Self)
    }

    fn row_line(&self, _: &RowResult) -> String {
        String::new()
    }

    fn totals_line(&self, _: ImportTotals) -> String {
        String::new()
    }
}

impl RowParser for NoImportFiles {
    fn feed(&mut self, _: &[u8], _: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        Ok(())
    }
}
