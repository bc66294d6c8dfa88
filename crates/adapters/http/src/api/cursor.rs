//! Cursor pagination: opaque cursors that encode a format version, the list and the position of the last item.
//!
//! A cursor grants no access: the next page is restricted to the caller's scope like the first.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::errors::api_error::ApiError;
use crate::extract::invalid_query;

/// Format version. A change of the format gets a new number, so that old cursors are rejected and not misread.
const VERSION: &str = "1";

/// A paginated list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Devices,
    Events,
    Locations,
    Merchants,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Events => "events",
            Self::Locations => "locations",
            Self::Merchants => "merchants",
        }
    }

    /// Encodes the cursor of the page after an item.
    pub(crate) fn after(self, last: impl Display) -> String {
        URL_SAFE_NO_PAD.encode(format!("{VERSION}:{}:{last}", self.name()))
    }

    /// Decodes the position of the item before the page; `None` without a cursor.
    pub(crate) fn decode<T>(
        self,
        cursor: Option<&str>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let position = text.as_deref().and_then(|text| text.strip_prefix(VERSION)).and_then(|text| {
            let (list, position) = text.strip_prefix(':')?.split_once(':')?;
            if list == self.name() { parse(position) } else { None }
        });
        position.map(Some).ok_or_else(|| invalid_query("cursor is not valid for this list"))
    }
}

/// Parses a number or an id in its canonical form only.
pub(crate) fn parse_canonical<T: FromStr + Display>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|value| value.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_accepted_by_its_own_list_only() {
        let cursor = List::Events.after(17_u64);
        assert!(!cursor.contains("17") && cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(List::Events.decode(Some(&cursor), parse_canonical::<u64>).unwrap(), Some(17));
        assert_eq!(List::Events.decode(None, parse_canonical::<u64>).unwrap(), None);
        assert!(List::Devices.decode(Some(&cursor), parse_canonical::<u64>).is_err());
    }

    #[test]
    fn an_invalid_cursor_is_rejected() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let padded = format!("{}=", List::Events.after(1_u64));
        for bad in
            ["", "17", "%%%", &padded, &encoded(""), &encoded("1"), &encoded("2:events:17"), &encoded("11:events:17")]
        {
            assert!(List::Events.decode(Some(bad), parse_canonical::<u64>).is_err(), "{bad}");
        }
        for position in ["", "-1", "+1", "01", "1 ", "x", "99999999999999999999"] {
            let cursor = List::Events.after(position);
            assert!(List::Events.decode(Some(&cursor), parse_canonical::<u64>).is_err(), "{position}");
        }
    }
}
