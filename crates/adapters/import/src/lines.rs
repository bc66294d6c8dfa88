//! Line splitter with a bounded buffer.

use pos_application::fleet::MAX_ROW_BYTES;

/// Splits a file that arrives in chunks into lines, and buffers at most [`MAX_ROW_BYTES`] of a line.
pub(super) struct LineSplitter {
    /// Bytes that end a line.
    ends: &'static [u8],
    /// Bytes that an empty line may contain.
    blanks: &'static [u8],
    text: Vec<u8>,
    too_long: bool,
    empty: bool,
}

/// A line that is not empty.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line<'l> {
    /// The text without its line end.
    Text(&'l [u8]),
    /// The line has more than [`MAX_ROW_BYTES`] bytes.
    TooLong,
}

impl LineSplitter {
    pub(super) fn new(ends: &'static [u8], blanks: &'static [u8]) -> Self {
        Self { ends, blanks, text: Vec::new(), too_long: false, empty: true }
    }

    /// Passes each line that ends in this chunk to `take`, and returns its first error.
    pub(super) fn feed<E>(&mut self, chunk: &[u8], mut take: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        for part in chunk.split_inclusive(|byte| self.ends.contains(byte)) {
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
        // One more byte for a carriage return before the line feed.
        self.too_long = self.too_long || self.text.len() + text.len() > MAX_ROW_BYTES + 1;
        if !self.too_long {
            self.text.extend_from_slice(text);
        }
    }

    /// Ends the current line, also at the end of the file.
    pub(super) fn finish<E>(&mut self, mut take: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<(), E> {
        let text = self.text.strip_suffix(b"\r").unwrap_or(&self.text);
        let result = if self.empty {
            Ok(())
        } else if self.too_long || text.len() > MAX_ROW_BYTES {
            take(Line::TooLong)
        } else {
            take(Line::Text(text))
        };
        self.text.clear();
        (self.too_long, self.empty) = (false, true);
        result
    }
}
