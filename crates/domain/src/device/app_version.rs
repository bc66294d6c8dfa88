//! Version of the terminal application: parsing and ordering.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An application version: one to four dotted numbers, and an optional suffix after `-` or `+` (`1.4.2`, `2.0-rc.1`).
///
/// Versions compare number by number; a missing number counts as zero. If the numbers are equal, a `-` suffix sorts
/// before no suffix (a release candidate before its release), and suffixes compare as text.
#[derive(Debug, Clone)]
pub struct AppVersion {
    numbers: [u32; 4],
    text: String,
}

/// Error for a text that is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is one to four dotted numbers with an optional -suffix, at most 32 characters, like 1.4.2")]
pub struct InvalidAppVersion;

impl AppVersion {
    /// Maximum length of a version, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Returns the version as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn pre_release(&self) -> Option<&str> {
        let (_, suffix) = self.text.split_at(suffix_at(&self.text));
        suffix.strip_prefix('-')
    }
}

fn suffix_at(text: &str) -> usize {
    text.bytes().position(|b| matches!(b, b'-' | b'+')).unwrap_or(text.len())
}

fn number(digits: &[u8]) -> Option<u32> {
    let add = |sum: u32, digit: &u8| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add)).flatten()
}

impl FromStr for AppVersion {
    type Err = InvalidAppVersion;

    fn from_str(text: &str) -> Result<Self, InvalidAppVersion> {
        if text.len() > Self::MAX_LEN {
            return Err(InvalidAppVersion);
        }
        let (dotted, suffix) = text.split_at(suffix_at(text));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+');
        if suffix.len() == 1 || !suffix.bytes().all(allowed) {
            return Err(InvalidAppVersion);
        }
        let mut numbers = [0; 4];
        let mut slots = numbers.iter_mut();
        for part in dotted.as_bytes().split(|b| *b == b'.') {
            *slots.next().ok_or(InvalidAppVersion)? = number(part).ok_or(InvalidAppVersion)?;
        }
        Ok(Self { numbers, text: text.into() })
    }
}

impl fmt::Display for AppVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for AppVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre_release(), other.pre_release()) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(mine), Some(theirs)) => mine.cmp(theirs),
        })
    }
}

impl PartialOrd for AppVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for AppVersion {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || self.cmp(other) == Ordering::Equal
    }
}

impl Eq for AppVersion {}
