//! CSV parser (RFC 4180) for device imports.

use csv_core::{ReadRecordResult, Reader};
use pos_application::fleet::{FileFault, MAX_ROW_BYTES, ReadRow};

use crate::fields::{Fields, malformed, too_long};
use crate::lines::{Line, LineSplitter};

/// Maximum number of fields that are counted. It exceeds the number of columns, so that an error can report the count.
const MAX_FIELDS: usize = 64;

const COLUMNS: [(&str, Column); 4] = [
    ("device_id", Column::DeviceId),
    ("merchant_id", Column::MerchantId),
    ("label", Column::Label),
    ("location_id", Column::LocationId),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    DeviceId,
    MerchantId,
    Label,
    LocationId,
}

/// Parses CSV (RFC 4180): fields may be quoted, lines end with CRLF, LF or CR. One rule differs: a line break also ends a
/// row inside quotes, because no field may contain one. An unclosed quote therefore affects only its own line. Rows with
/// only blank fields are ignored.
pub(super) struct CsvParser {
    lines: LineSplitter,
    record: Record,
    /// Set after the header line was read.
    columns: Option<Vec<Column>>,
}

/// The fields of one line.
struct Record {
    reader: Reader,
    /// The text of all fields, and the end of each field in it.
    text: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    fields: usize,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLong,
    TooManyFields,
    OpenQuote,
}

impl Default for CsvParser {
    fn default() -> Self {
        let (text, ends) = (vec![0; MAX_ROW_BYTES + 1], vec![0; MAX_FIELDS]);
        let record = Record { reader: Reader::new(), text, ends, filled: 0, fields: 0, fault: None };
        Self { lines: LineSplitter::new(b"\r\n", b" \t\x0b\x0c,"), record, columns: None }
    }
}

impl CsvParser {
    pub(super) fn feed(&mut self, chunk: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        let Self { lines, record, columns } = self;
        lines.feed(chunk, |line| read(line, record, columns, rows))
    }

    pub(super) fn finish(mut self: Box<Self>, rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        let Self { lines, record, columns } = &mut *self;
        lines.finish(|line| read(line, record, columns, rows))?;
        self.columns.map(drop).ok_or(FileFault::NoHeader)
    }
}

/// Parses a line: the header line or a row.
fn read(
    line: Line<'_>,
    record: &mut Record,
    columns: &mut Option<Vec<Column>>,
    rows: &mut Vec<ReadRow>,
) -> Result<(), FileFault> {
    record.read(line);
    if record.is_blank() {
        return Ok(());
    }
    match columns {
        None => *columns = Some(record.header()?),
        Some(columns) => rows.push(record.row(columns)),
    }
    Ok(())
}

impl Record {
    fn read(&mut self, line: Line<'_>) {
        (self.filled, self.fields, self.fault) = (0, 0, None);
        match line {
            Line::TooLong => self.fault = Some(Fault::TooLong),
            Line::Text(text) => {
                self.parse_part(text);
                if !self.parse_part(b"\n") {
                    self.fault = Some(Fault::OpenQuote);
                    // Closes the quote, so that the reader starts the next line outside of it.
                    self.parse_part(b"\"\n");
                }
            }
        }
    }

    /// Parses a part of the line. Returns whether the row has ended.
    fn parse_part(&mut self, mut part: &[u8]) -> bool {
        let mut ended = false;
        while !part.is_empty() {
            let text = self.text.get_mut(self.filled..).unwrap_or_default();
            let ends = self.ends.get_mut(self.fields..).unwrap_or_default();
            let (result, read, written, fields) = self.reader.read_record(part, text, ends);
            part = part.get(read..).unwrap_or_default();
            self.filled += written;
            self.fields += fields;
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => ended = true,
                ReadRecordResult::InputEmpty => {}
                // A line always fits into the buffer; the text after an unclosed quote is discarded.
                ReadRecordResult::OutputFull => self.filled = 0,
                ReadRecordResult::OutputEndsFull => {
                    self.fault = Some(Fault::TooManyFields);
                    self.fields = 0;
                }
            }
        }
        ended
    }

    /// Whether all fields are blank. False for a line that is not UTF-8.
    fn is_blank(&self) -> bool {
        let text = self.text.get(..self.filled).and_then(|text| std::str::from_utf8(text).ok());
        matches!(self.fault, None | Some(Fault::TooManyFields)) && text.is_some_and(|text| text.trim().is_empty())
    }

    /// The fields; `None` if they are not UTF-8.
    fn texts(&self) -> Option<Vec<&str>> {
        let ends = self.ends.get(..self.fields)?;
        let starts = std::iter::once(&0).chain(ends);
        starts.zip(ends).map(|(start, end)| std::str::from_utf8(self.text.get(*start..*end)?).ok()).collect()
    }

    fn header(&self) -> Result<Vec<Column>, FileFault> {
        match self.fault {
            Some(Fault::TooLong) => return Err(FileFault::HeaderTooLong),
            Some(Fault::OpenQuote) => return Err(FileFault::HeaderQuote),
            Some(Fault::TooManyFields) | None => {}
        }
        let mut columns = Vec::new();
        for name in self.texts().ok_or(FileFault::HeaderNotUtf8)? {
            let known = COLUMNS.iter().find(|(known, _)| *known == name);
            let (name, column) = known.ok_or_else(|| FileFault::UnknownColumn(name.chars().take(64).collect()))?;
            if columns.contains(column) {
                return Err(FileFault::RepeatedColumn(name));
            }
            columns.push(*column);
        }
        for (name, column) in COLUMNS.iter().take(2) {
            if !columns.contains(column) {
                return Err(FileFault::MissingColumn(name));
            }
        }
        Ok(columns)
    }

    fn row(&self, columns: &[Column]) -> ReadRow {
        match self.fault {
            Some(Fault::TooLong) => return malformed(too_long()),
            Some(Fault::OpenQuote) => {
                return malformed("a quote is not closed at the end of the line; a field cannot contain a line break");
            }
            Some(Fault::TooManyFields) => return malformed(format_args!("the row has more than {MAX_FIELDS} fields")),
            None => {}
        }
        if self.fields != columns.len() {
            let (has, wanted) = (self.fields, columns.len());
            return malformed(format_args!("the row has {has} fields, but the header line has {wanted}"));
        }
        let Some(texts) = self.texts() else { return malformed("the row is not UTF-8") };
        let mut fields = Fields::default();
        for (column, text) in columns.iter().zip(texts) {
            // An optional field may be empty.
            let given = Some(text).filter(|text| !text.is_empty());
            match column {
                Column::DeviceId => fields.device_id = text,
                Column::MerchantId => fields.merchant_id = text,
                Column::Label => fields.label = given,
                Column::LocationId => fields.location_id = given,
            }
        }
        fields.read()
    }
}
