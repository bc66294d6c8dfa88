//! Streaming row parser for all import formats.

use pos_application::fleet::{FileFault, ImportFormat, ReadRow, RowParser};

use crate::csv::CsvParser;
use crate::json_lines::JsonLinesParser;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Parses the rows of a file that arrives in chunks.
pub(crate) struct FileParser {
    /// The first bytes, until it is known whether they are a byte order mark.
    start: Option<Vec<u8>>,
    parser: Parser,
}

enum Parser {
    Csv(Box<CsvParser>),
    JsonLines(JsonLinesParser),
}

impl FileParser {
    /// Creates a parser for a new file.
    pub(crate) fn new(format: ImportFormat) -> Self {
        let parser = match format {
            ImportFormat::Csv => Parser::Csv(Box::default()),
            ImportFormat::JsonLines => Parser::JsonLines(JsonLinesParser::default()),
        };
        Self { start: Some(Vec::new()), parser }
    }

    fn parse(&mut self, chunk: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        match &mut self.parser {
            Parser::Csv(parser) => parser.feed(chunk, rows),
            Parser::JsonLines(parser) => {
                parser.feed(chunk, rows);
                Ok(())
            }
        }
    }
}

impl RowParser for FileParser {
    fn feed(&mut self, chunk: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        let Some(mut start) = self.start.take() else { return self.parse(chunk, rows) };
        start.extend_from_slice(chunk);
        if start.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(&start) {
            self.start = Some(start);
            return Ok(());
        }
        self.parse(start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start), rows)
    }

    fn finish(mut self: Box<Self>, rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
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
