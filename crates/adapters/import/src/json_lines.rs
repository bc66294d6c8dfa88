//! JSON Lines parser for device imports.

use std::convert::Infallible;

use pos_application::fleet::ReadRow;
use serde::Deserialize;

use crate::fields::{Fields, malformed, too_long};
use crate::lines::{Line, LineSplitter};

/// Parses JSON Lines: one object per line. Empty lines, and objects with only blank fields, are ignored.
pub(super) struct JsonLinesParser {
    lines: LineSplitter,
}

impl Default for JsonLinesParser {
    fn default() -> Self {
        Self { lines: LineSplitter::new(b"\n", b" \t\x0b\x0c\r") }
    }
}

/// A row. Unknown fields are rejected, because a misspelt `label` would otherwise be lost silently.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    device_id: String,
    merchant_id: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    location_id: Option<String>,
}

impl JsonLinesParser {
    pub(super) fn feed(&mut self, chunk: &[u8], rows: &mut Vec<ReadRow>) {
        let Ok(()) = self.lines.feed(chunk, |line| parse_line(line, rows));
    }

    pub(super) fn finish(mut self, rows: &mut Vec<ReadRow>) {
        let Ok(()) = self.lines.finish(|line| parse_line(line, rows));
    }
}

fn parse_line(line: Line<'_>, rows: &mut Vec<ReadRow>) -> Result<(), Infallible> {
    match line {
        Line::Text(text) => rows.extend(read(text)),
        Line::TooLong => rows.push(malformed(too_long())),
    }
    Ok(())
}

/// Parses a line; `None` if it is blank.
fn read(line: &[u8]) -> Option<ReadRow> {
    let Ok(text) = std::str::from_utf8(line) else { return Some(malformed("the row is not UTF-8")) };
    if text.trim().is_empty() {
        return None;
    }
    // serde's message for an array or a string would describe a struct.
    if !text.trim_start().starts_with('{') {
        return Some(malformed("the row is not a JSON object"));
    }
    match serde_json::from_str::<Row>(text) {
        Ok(row) => {
            let fields = Fields {
                device_id: &row.device_id,
                merchant_id: &row.merchant_id,
                label: row.label.as_deref(),
                location_id: row.location_id.as_deref(),
            };
            (!fields.are_blank()).then(|| fields.read())
        }
        Err(error) => Some(malformed(without_line_number(&error.to_string()))),
    }
}

/// serde's message without "line 1", which is not the line of the file.
fn without_line_number(message: &str) -> String {
    message.replace(" at line 1 column ", " at column ")
}
