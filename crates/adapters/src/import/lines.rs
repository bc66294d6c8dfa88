//! Line splitter with a bounded buffer.

use super::parser::MAX_ROW_BYTES;

/// Splits a file that arrives in pieces into lines, and holds no more than [`MAX_ROW_BYTES`] of one.
pub(super) struct LineSplitter {
    /// Bytes that end a line.
    ends: &'static [u8],
    /// Bytes of which an empty line may consist.
    blanks: &'static [u8],
    text: Vec<u8>,
    too_long: bool,
    empty: bool,
}

/// A line that is not empty.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'l> {
    /// Without its end.
    Text(&'l [u8]),
    /// It has more than [`MAX_ROW_BYTES`] bytes.
    TooLong,
}

impl LineSplitter {
    pub(super) fn new(ends: &'static [u8], blanks: &'static [u8]) -> Self {
        Self { ends, blanks, text: Vec::new(), too_long: false, empty: true }
    }

    /// Passes each line that ends in this piece to `take`, and returns its first error.
    pub(super) fn feed<E>(&mut self, piece: &[u8], mut take: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        for part in piece.split_inclusive(|byte| self.ends.contains(byte)) {
            match part.split_last() {
                Some((last, text)) if self.ends.contains(last) => {
                    self.extend(text);
                    self.finish(&mut take)?;
                }
                _ => self.extend(part),
            }
        }
        Ok(())
    }

    fn extend(&mut self, text: &[u8]) {
        self.empty = self.empty && text.iter().all(|byte| self.blanks.contains(byte));
        // One more for the carriage return that a line feed may follow.
        self.too_long = self.too_long || self.text.len() + text.len() > MAX_ROW_BYTES + 1;
        if !self.too_long {
            self.text.extend_from_slice(text);
        }
    }

    /// Ends the line, also where the file ends.
    pub(super) fn finish<E>(&mut self, mut take: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        let text = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        let taken = if self.empty {
            Ok(())
        } else if self.too_long || text.len() > MAX_ROW_BYTES {
            take(Line::TooLong)
        } else {
            take(Line::Text(text))
        };
        self.text.clear();
        (self.too_long, self.empty) = (false, true);
        taken
    }
}
