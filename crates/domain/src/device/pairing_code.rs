//! Pairing codes, and the codes that are no longer valid.

use std::fmt;

use time::OffsetDateTime;

use crate::shared::DeviceId;

/// A pairing code: six symbols of `A-Z2-9` without `O` and `I`, so 32 symbols and 2^30 codes (contract, section 3).
///
/// It is a credential for as long as it is active, so `Debug` hides it; [`PairingCode::as_str`] is the one way to see
/// the symbols, and no log line may call it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairingCode([u8; PairingCode::LEN]);

/// Error for a text that cannot be a pairing code: not six symbols, or one outside the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pairing code has six symbols of A-Z and 2-9, without O and I")]
pub struct InvalidPairingCode;

impl PairingCode {
    /// Number of symbols in a code.
    pub const LEN: usize = 6;
    /// The 32 symbols, five bits each.
    pub const ALPHABET: &'static [u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

    /// Returns the code for the low 30 of `bits`. Uniform bits give uniform codes, without modulo bias or rejection.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let mut rest = bits;
        Self([0; Self::LEN].map(|_: u8| {
            let symbol = Self::ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'A');
            rest >>= 5;
            symbol
        }))
    }

    /// Parses a code exactly as it was issued.
    ///
    /// # Errors
    /// [`InvalidPairingCode`].
    pub fn parse(text: &str) -> Result<Self, InvalidPairingCode> {
        let symbols: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| InvalidPairingCode)?;
        if symbols.into_iter().all(is_symbol) { Ok(Self(symbols)) } else { Err(InvalidPairingCode) }
    }

    /// Returns the characters of a typed text without white space and hyphens.
    pub fn typed_symbols(text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c))
    }

    /// Parses a code as typed by a person: white space, hyphens and letter case are ignored (RFC 8628, section 6.1).
    ///
    /// # Errors
    /// [`InvalidPairingCode`].
    pub fn from_typed(text: &str) -> Result<Self, InvalidPairingCode> {
        let symbols: String = Self::typed_symbols(text).take(Self::LEN + 1).collect();
        Self::parse(&symbols.to_ascii_uppercase())
    }

    /// Returns the symbols for a screen, a response or a store. They must not be logged.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Returns whether [`PairingCode::ALPHABET`] contains the byte.
fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'A'..=b'H' | b'J'..=b'N' | b'P'..=b'Z' | b'2'..=b'9')
}

/// Returns whether it is the ASCII hyphen or one that text programs substitute for it (U+2010, U+2011).
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}')
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(******)")
    }
}

/// Why a code is no longer valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeEnd {
    /// The device got a new code, was transferred or was decommissioned before anyone typed this one.
    Superseded,
    /// A merchant claimed the device with it, and the device was released or decommissioned since.
    Used,
}

impl CodeEnd {
    /// Returns the stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superseded => "superseded",
            Self::Used => "used",
        }
    }

    /// Parses the stored word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "superseded" => Some(Self::Superseded),
            "used" => Some(Self::Used),
            _ => None,
        }
    }
}

/// A past code of a device, stored so that typing it later is distinguished from an unknown code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCode {
    /// The code.
    pub code: PairingCode,
    /// The device that showed it.
    pub device_id: DeviceId,
    /// Why it is no longer valid.
    pub end: CodeEnd,
    /// When it became invalid.
    pub at: OffsetDateTime,
}
