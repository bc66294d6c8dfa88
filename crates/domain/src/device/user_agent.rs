//! Parser of a terminal's `User-Agent` header.

use crate::device::AppVersion;

/// A terminal's `User-Agent`: `Viopay-POS/{version} ({OS}; {model})` (contract, section 2).
///
/// The product and the version are required; the parenthesized part is optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgent {
    /// The application's version.
    pub app_version: AppVersion,
    /// The operating system, for example `Android 12`.
    pub os: Option<String>,
    /// The hardware model, for example `PAX-A920`.
    pub model: Option<String>,
}

/// Why a text is not a terminal's `User-Agent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserAgent {
    /// It does not start with `Viopay-POS/`.
    #[error("must start with Viopay-POS/")]
    Product,
    /// The product is not followed by a version, or the version is followed by something other than a space.
    #[error("must name the app version after Viopay-POS/, like Viopay-POS/1.4.2")]
    Version,
    /// It is longer than [`UserAgent::MAX_LEN`] bytes.
    #[error("must not be longer than 512 characters")]
    TooLong,
    /// It contains a control character or a non-ASCII character.
    #[error("must consist of printable ASCII characters")]
    NotAscii,
}

impl UserAgent {
    /// Prefix of every terminal's `User-Agent`.
    pub const PRODUCT: &'static str = "Viopay-POS/";
    /// Maximum length of a `User-Agent`, in bytes.
    pub const MAX_LEN: usize = 512;
    /// Maximum stored length of an operating system or model; the rest is cut.
    pub const MAX_PART_LEN: usize = 64;

    /// Parses the header's value.
    ///
    /// # Errors
    /// [`InvalidUserAgent`].
    pub fn parse(text: &str) -> Result<Self, InvalidUserAgent> {
        if text.len() > Self::MAX_LEN {
            return Err(InvalidUserAgent::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(InvalidUserAgent::NotAscii);
        }
        let rest = text.strip_prefix(Self::PRODUCT).ok_or(InvalidUserAgent::Product)?;
        let (version, comment) = rest.split_once(' ').unwrap_or((rest, ""));
        let app_version = version.parse().map_err(|_| InvalidUserAgent::Version)?;
        let inside = comment.trim_ascii().strip_prefix('(').and_then(|open| open.split_once(')'));
        let (os, rest) = until_semicolon(inside.map_or("", |(inside, _)| inside));
        Ok(Self { app_version, os: part(os), model: part(until_semicolon(rest).0) })
    }
}

/// Returns the text before the first semicolon and the text after it.
fn until_semicolon(text: &str) -> (&str, &str) {
    text.split_once(';').unwrap_or((text, ""))
}

fn part(text: &str) -> Option<String> {
    let text = text.trim_ascii();
    let cut = text.get(..UserAgent::MAX_PART_LEN).unwrap_or(text);
    (!cut.is_empty()).then(|| cut.into())
}
