//! The fields of spans as JSON, written once and straight.
//!
//! Every request has a span and next to none logs a line, so what a span costs when it is made is what counts. The
//! library's own formatter sorts the fields in a map, and reads its own JSON again for each field that becomes known
//! later; this one only ever appends. What the lines look like is the same.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};

/// Writes `{"name":value,…}`. A field that is recorded twice stands there twice, and readers take the later one.
pub(crate) struct JsonSpanFields;

impl<'w> FormatFields<'w> for JsonSpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        writer.write_char('{')?;
        append(&mut writer, true, |appender| fields.record(appender))?;
        writer.write_char('}')
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let is_object = current.fields.pop() == Some('}');
        let is_first = current.fields == "{";
        let added = append(&mut current.fields, is_first, |appender| fields.record(appender));
        current.fields.push('}');
        if is_object { added } else { Err(fmt::Error) }
    }
}

fn append<W: Write>(writer: &mut W, is_first: bool, record: impl FnOnce(&mut Appender<'_, W>)) -> fmt::Result {
    let mut appender = Appender { writer, is_first, outcome: Ok(()) };
    record(&mut appender);
    appender.outcome
}

struct Appender<'a, W> {
    writer: &'a mut W,
    is_first: bool,
    outcome: fmt::Result,
}

impl<W: Write> Appender<'_, W> {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>, is_text: bool) {
        if self.outcome.is_ok() {
            self.outcome = self.write(field.name(), value, is_text);
        }
    }

    fn write(&mut self, name: &str, value: fmt::Arguments<'_>, is_text: bool) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(',')?;
        }
        self.writer.write_char('"')?;
        Escaped(self.writer).write_str(name)?;
        self.writer.write_str("\":")?;
        if !is_text {
            return self.writer.write_fmt(value);
        }
        self.writer.write_char('"')?;
        Escaped(self.writer).write_fmt(value)?;
        self.writer.write_char('"')
    }
}

impl<W: Write> Visit for Appender<'_, W> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, format_args!("{value:?}"), true);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, format_args!("{value}"), true);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, format_args!("{value}"), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, format_args!("{value}"), false);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, format_args!("{value}"), false);
    }
}

/// A JSON string's inside (RFC 8259, section 7).
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
            return self.0.write_str(text);
        }
        for part in text.split_inclusive(|c: char| matches!(c, '"' | '\\') || c.is_control()) {
            match part.char_indices().next_back() {
                Some((at, last)) if matches!(last, '"' | '\\') || last.is_control() => {
                    self.0.write_str(part.get(..at).unwrap_or_default())?;
                    match last {
                        '"' | '\\' => write!(self.0, "\\{last}")?,
                        _ => write!(self.0, "\\u{:04x}", u32::from(last))?,
                    }
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_read_back_as_it_was() {
        for text in
            ["", "plain", "a \"quoted\" word", r"back\slash", "line\nbreak\u{7f}\u{9f}\0", "naïve 🙂", "\"", "\\\""]
        {
            let mut json = String::from("\"");
            Escaped(&mut json).write_str(text).unwrap();
            json.push('"');
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }
}
