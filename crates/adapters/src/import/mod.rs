//! Files of devices: CSV (RFC 4180) or JSON lines, read as they arrive.
//!
//! A [`Receiver`] is fed with the bytes of a file in whatever pieces they come. It holds at most one row and the rows of
//! one piece, counts, digests, and hands rows to the [`Upload`](pos_application::Upload). HTTP and the command line use
//! the same one.
//!
//! To add a format: a parser beside `csv.rs`, a variant of [`ImportFormat`] and of `Parser`.

mod csv;
mod fields;
mod json_lines;
mod line;
mod lines;
mod parser;
mod receiver;

use std::fmt;

pub use self::line::{RowLine, TotalsLine, row_line, totals_line};
pub use self::parser::{FileFault, MAX_ROW_BYTES, RowParser};
pub use self::receiver::{ReceiveError, Receiver, max_file_bytes};

/// How a file of devices is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// A header line that names the columns, in any order, then a line a device.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

impl ImportFormat {
    /// The format of a media type (without parameters); `None` for any other.
    #[must_use]
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" | "application/jsonl" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// The format by a file name's extension; `None` for any other.
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
