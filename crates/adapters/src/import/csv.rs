use csv_core::{ReadRecordResult, Reader};
use pos_application::ReadRow;

use super::fields::{Fields, malformed};
use super::parser::{FileFault, MAX_ROW_BYTES};

/// More fields than any row of ours has, so that "too many" can be told with their number.
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

/// Reads CSV as RFC 4180 has it: fields may be quoted, lines end with CRLF or LF, empty lines do not count.
pub(super) struct CsvParser {
    reader: Reader,
    /// The fields of the row at hand, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    filled: usize,
    fields: usize,
    fault: Option<Fault>,
    /// There once the header line is read.
    columns: Option<Vec<Column>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    TooLong,
    TooManyFields,
}

impl Default for CsvParser {
    fn default() -> Self {
        Self {
            reader: Reader::new(),
            text: vec![0; MAX_ROW_BYTES],
            ends: vec![0; MAX_FIELDS],
            filled: 0,
            fields: 0,
            fault: None,
            columns: None,
        }
    }
}

impl CsvParser {
    pub(super) fn feed(&mut self, mut piece: &[u8], rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        while !piece.is_empty() {
            let (result, read) = self.step(piece);
            piece = piece.get(read..).unwrap_or_default();
            if result == ReadRecordResult::Record {
                self.end(rows)?;
            }
        }
        Ok(())
    }

    /// One step of the reader, which stops where a row ends and where there is no room. A row that does not fit is read
    /// on to its end and thrown away.
    fn step(&mut self, piece: &[u8]) -> (ReadRecordResult, usize) {
        let text = self.text.get_mut(self.filled..).unwrap_or_default();
        let ends = self.ends.get_mut(self.fields..).unwrap_or_default();
        let (result, read, written, ended) = self.reader.read_record(piece, text, ends);
        self.filled += written;
        self.fields += ended;
        match result {
            ReadRecordResult::OutputFull => {
                self.fault = Some(Fault::TooLong);
                self.filled = 0;
            }
            ReadRecordResult::OutputEndsFull => {
                self.fault = self.fault.or(Some(Fault::TooManyFields));
                self.fields = 0;
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {}
        }
        (result, read)
    }

    pub(super) fn finish(mut self: Box<Self>, rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        loop {
            match self.step(&[]).0 {
                ReadRecordResult::Record => self.end(rows)?,
                ReadRecordResult::End => break,
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            }
        }
        self.columns.map(drop).ok_or(FileFault::NoHeader)
    }

    /// The end of a row, the header line's included.
    fn end(&mut self, rows: &mut Vec<ReadRow>) -> Result<(), FileFault> {
        match &self.columns {
            None => self.columns = Some(self.header()?),
            Some(columns) => rows.push(self.row(columns)),
        }
        (self.filled, self.fields, self.fault) = (0, 0, None);
        Ok(())
    }

    /// The fields; none when they are not UTF-8.
    fn texts(&self) -> Option<Vec<&str>> {
        let ends = self.ends.get(..self.fields)?;
        let starts = std::iter::once(&0).chain(ends);
        starts.zip(ends).map(|(start, end)| std::str::from_utf8(self.text.get(*start..*end)?).ok()).collect()
    }

    fn header(&self) -> Result<Vec<Column>, FileFault> {
        if self.fault == Some(Fault::TooLong) {
            return Err(FileFault::HeaderTooLong);
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
            Some(Fault::TooLong) => {
                let hint = "is a quote left open?";
                return malformed(format_args!("the row is longer than {MAX_ROW_BYTES} bytes; {hint}"));
            }
            Some(Fault::TooManyFields) => return malformed(format_args!("the row has more than {MAX_FIELDS} fields")),
            None => {}
        }
        if self.fields != columns.len() {
            let (has, wanted) = (self.fields, columns.len());
            return malformed(format_args!("the row has {has} fields, and the header line names {wanted}"));
        }
        let Some(texts) = self.texts() else { return malformed("the row is not UTF-8") };
        let mut fields = Fields::default();
        for (column, text) in columns.iter().zip(texts) {
            // A field that may be left out is left empty where the line must have it.
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
