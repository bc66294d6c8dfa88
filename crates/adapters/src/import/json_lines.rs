use std::convert::Infallible;

use pos_application::ReadRow;
use serde::Deserialize;

use super::fields::{Fields, malformed, too_long};
use super::lines::{Line, LineSplitter};

/// Reads JSON lines: an object a line. Empty lines, and objects whose fields are all blank, do not count.
pub(super) struct JsonLinesParser {
    lines: LineSplitter,
}

impl Default for JsonLinesParser {
    fn default() -> Self {
        Self { lines: LineSplitter::new(b"\n", b" \t\x0b\x0c\r") }
    }
}

/// A row. A field nobody knows refuses it: a misspelt `label` would be lost in silence otherwise.
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
    pub(super) fn feed(&mut self, piece: &[u8], rows: &mut Vec<ReadRow>) {
        let Ok(()) = self.lines.feed(piece, |line| take(line, rows));
    }

    pub(super) fn finish(mut self, rows: &mut Vec<ReadRow>) {
        let Ok(()) = self.lines.finish(|line| take(line, rows));
    }
}

fn take(line: Line<'_>, rows: &mut Vec<ReadRow>) -> Result<(), Infallible> {
    match line {
        Line::Text(text) => rows.extend(read(text)),
        Line::TooLong => rows.push(malformed(too_long())),
    }
    Ok(())
}

/// The row of a line; `None` if it is blank.
fn read(line: &[u8]) -> Option<ReadRow> {
    let Ok(text) = std::str::from_utf8(line) else { return Some(malformed("the row is not UTF-8")) };
    if text.trim().is_empty() {
        return None;
    }
    // Whatever follows an array's or a text's first byte would be told in serde's words for a struct.
    if !text.trim_start().starts_with('{') {
        return Some(malformed("the row is no JSON object"));
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
        Err(error) => Some(malformed(without_line(&error.to_string()))),
    }
}

/// serde's words without "line 1", which is no line of the file.
fn without_line(said: &str) -> String {
    said.replace(" at line 1 column ", " at column ")
}
