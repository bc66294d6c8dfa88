use pos_application::ReadRow;
use serde::Deserialize;

use super::fields::{Fields, malformed};
use super::parser::MAX_ROW_BYTES;

/// Reads JSON lines: an object a line; empty lines do not count.
#[derive(Default)]
pub(super) struct JsonLinesParser {
    line: Vec<u8>,
    too_long: bool,
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
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            self.take(text);
            if ended {
                self.end(rows);
            }
        }
    }

    fn take(&mut self, text: &[u8]) {
        // One more for the carriage return that may come before the line feed.
        if self.line.len() + text.len() > MAX_ROW_BYTES + 1 {
            self.too_long = true;
        }
        if !self.too_long {
            self.line.extend_from_slice(text);
        }
    }

    fn end(&mut self, rows: &mut Vec<ReadRow>) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if self.too_long || line.len() > MAX_ROW_BYTES {
            rows.push(malformed(format_args!("the row is longer than {MAX_ROW_BYTES} bytes")));
        } else if !line.trim_ascii().is_empty() {
            rows.push(read(line));
        }
        self.line.clear();
        self.too_long = false;
    }

    pub(super) fn finish(mut self, rows: &mut Vec<ReadRow>) {
        if self.too_long || !self.line.is_empty() {
            self.end(rows);
        }
    }
}

fn read(line: &[u8]) -> ReadRow {
    let Ok(text) = std::str::from_utf8(line) else { return malformed("the row is not UTF-8") };
    // Whatever follows an array's or a text's first byte would be told in serde's words for a struct.
    if !text.trim_start().starts_with('{') {
        return malformed("the row is no JSON object");
    }
    match serde_json::from_str::<Row>(text) {
        Ok(row) => Fields {
            device_id: &row.device_id,
            merchant_id: &row.merchant_id,
            label: row.label.as_deref(),
            location_id: row.location_id.as_deref(),
        }
        .read(),
        Err(error) => malformed(without_line(&error.to_string())),
    }
}

/// serde's words without "line 1", which is no line of the file.
fn without_line(said: &str) -> String {
    said.replace(" at line 1 column ", " at column ")
}
