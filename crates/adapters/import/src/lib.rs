//! Device files: CSV (RFC 4180) and JSON Lines, and the lines of the import report.
//!
//! A parser takes the bytes of a file in chunks of any size and buffers at most one row. HTTP and the command line both
//! get it from the use case.
//!
//! To add a format: add a parser next to `csv.rs`, and a variant to [`ImportFormat`] and `Parser`.

mod csv;
mod fields;
mod json_lines;
mod line;
mod lines;
mod parser;

use pos_application::fleet::{ImportFiles, ImportFormat, ImportTotals, RowParser};
use pos_port_storage::fleet::RowResult;

use crate::parser::FileParser;

/// Every import format.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceFiles;

impl ImportFiles for DeviceFiles {
    fn parser(&self, format: ImportFormat) -> Box<dyn RowParser + Send> {
        Box::new(FileParser::new(format))
    }

    fn row_line(&self, result: &RowResult) -> String {
        line::row_line(result)
    }

    fn totals_line(&self, totals: ImportTotals) -> String {
        line::totals_line(totals)
    }
}
