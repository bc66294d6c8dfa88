//! The six symbols a merchant reads off the terminal's screen.

use std::fmt;

use time::OffsetDateTime;

use crate::DeviceId;

/// A pairing code: six symbols of `A-Z2-9` without `O` and `I`, so 32 symbols and 2^30 codes (contract, section 3).
///
/// It is a credential for as long as it is active, so `Debug` hides it; [`PairingCode::as_str`] is the one way to see
/// the symbols, and no log line may call it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairingCode([u8; PairingCode::LEN]);

/// A text that cannot be a pairing code: not six symbols, or one outside the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pairing code has six symbols of A-Z and 2-9, without O and I")]
pub struct InvalidPairingCode;

impl PairingCode {
    /// How many symbols a code has.
    pub const LEN: usize = 6;
    /// The 32 symbols, five bits each.
    pub const ALPHABET: &'static [u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

    /// The code that the low 30 of `bits` name. Uniform bits make uniform codes: no modulo, no rejection.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let mut rest = bits;
        Self([0; Self::LEN].map(|_: u8| {
            let symbol = Self::ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'A');
            rest >>= 5;
            symbol
        }))
    }

    /// Reads a code exactly as it was given out.
    ///
    /// # Errors
    /// [`InvalidPairingCode`].
    pub fn parse(text: &str) -> Result<Self, InvalidPairingCode> {
        let symbols: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| InvalidPairingCode)?;
        if symbols.into_iter().all(is_symbol) { Ok(Self(symbols)) } else { Err(InvalidPairingCode) }
    }

    /// The characters of a typed text that count: white space and hyphens are ignored wherever they are.
    pub fn typed_symbols(text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(|c| !c.is_whitespace() && !is_hyphen(*c))
    }

    /// Reads a code as a person types it: white space, hyphens and letter case do not matter (RFC 8628, section 6.1).
    ///
    /// # Errors
    /// [`InvalidPairingCode`].
    pub fn from_typed(text: &str) -> Result<Self, InvalidPairingCode> {
        let symbols: String = Self::typed_symbols(text).take(Self::LEN + 1).collect();
        Self::parse(&symbols.to_ascii_uppercase())
    }

    /// The symbols, for a screen, an answer or a store, never for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Whether [`PairingCode::ALPHABET`] has it.
fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'A'..=b'H' | b'J'..=b'N' | b'P'..=b'Z' | b'2'..=b'9')
}

/// The hyphen of ASCII, and the two that text programs put in its place (U+2010, U+2011).
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{2011}')
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingCode(******)")
    }
}

/// How a code went out of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeEnd {
    /// The device asked for a new code before anyone typed this one.
    Retired,
    /// A merchant claimed the device with it, and the device was released since.
    Used,
}

impl CodeEnd {
    /// The word a store keeps.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Used => "used",
        }
    }

    /// Reads the word a store keeps; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "retired" => Some(Self::Retired),
            "used" => Some(Self::Used),
            _ => None,
        }
    }
}

/// A code that left its device, kept so that typing it later is told apart from typing nonsense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedCode {
    /// The code.
    pub code: PairingCode,
    /// The device that showed it.
    pub device_id: DeviceId,
    /// How it ended.
    pub end: CodeEnd,
    /// When it left the device.
    pub at: OffsetDateTime,
}
