use pos_application::ReadRow;

use super::ImportFormat;
use super::csv::CsvParser;
use super::json_lines::JsonLinesParser;

/// The longest row, in bytes of its line.
pub const MAX_ROW_BYTES: usize = 4_096;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Why a file is refused whole, before any of its rows: its header line is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is none.
    #[error("the file is empty: it must begin with a header line that names the columns")]
    NoHeader,
    /// It is longer than [`MAX_ROW_BYTES`].
    #[error("the header line is longer than {MAX_ROW_BYTES} bytes")]
    HeaderTooLong,
    /// It is not UTF-8.
    #[error("the header line is not UTF-8")]
    HeaderNotUtf8,
    /// A quote in it is left open.
    #[error("a quote is left open at the end of the header line")]
    HeaderQuote,
    /// It names a column that nobody knows.
    #[error("there is no column {0:?}: the columns are device_id, merchant_id, label and location_id")]
    UnknownColumn(String),
    /// It names a column twice.
    #[error("the column {0} is named twice")]
    RepeatedColumn(&'static str),
    /// It leaves out a column that must be there.
    #[error("the column {0} is missing")]
    MissingColumn(&'static str),
}

/// Reads the rows of a file that comes in pieces.
pub struct RowParser {
    /// The first bytes, while they may still be a byte order mark.
    start: Option<Vec<u8>>,
    parser: Parser,
}

enum Parser {
    Csv(Box<CsvParser>),
    JsonLines(JsonLinesParser),
}

impl RowParser {
    /// A parser at the beginning of a file.
    #[must_use]
    pub fn new(format: ImportFormat) -> Self {
        let parser = match format {
            ImportFormat::Csv => Parser::Csv(Box::default()),
            ImportFormat::JsonLines => Parser::JsonLines(JsonLinesParser::default()),
        };
        Self { start: Some(Vec::new()), parser }
    }

    /// Reads the next piece of the file and adds the rows that end in it.
    ///
    /// # Errors
    /// [`FileFault`]; the rest of the file is of no interest then.
    pub fn feed(&mut self, piece: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        let Some(mut start) = self.start.take() else { return self.parse(piece, rows) };
        start.extend_from_slice(piece);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&start) {
            self.start = Some(start);
            return Ok(());
        }
        self.parse(start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start), rows)
    }

    fn parse(&mut self, piece: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        match &mut self.parser {
            Parser::Csv(parser) => parser.feed(piece, rows),
            Parser::JsonLines(parser) => {
                parser.feed(piece, rows);
                Ok(())
            }
        }
    }

    /// Ends the file: adds the last row, if no line end came after it.
    ///
    /// # Errors
    /// [`FileFault`].
    pub fn finish(mut self, rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        if let Some(start) = self.start.take() {
            self.parse(&start, rows)?;
        }
        match self.parser {
            Parser::Csv(parser) => parser.finish(rows),
            Parser::JsonLines(parser) => {
                parser.finish(rows);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
