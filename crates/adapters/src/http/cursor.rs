//! The mark at which a list goes on, as the caller is given it: opaque to it, for us the version of the form, which list
//! it belongs to, and the last item's place there. It grants nothing: the next page is as narrow as the caller's scope.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::api_error::ApiError;
use super::extract::invalid_query;

/// A change of the form gets another number, so that a cursor of the form before is refused and not misread.
const VERSION: &str = "1";

/// A list that cursors belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Devices,
    Events,
    Locations,
    Merchants,
}

impl List {
    fn word(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Events => "events",
            Self::Locations => "locations",
            Self::Merchants => "merchants",
        }
    }

    /// The cursor after this item.
    pub(super) fn after(self, last: impl Display) -> String {
        URL_SAFE_NO_PAD.encode(format!("{VERSION}:{}:{last}", self.word()))
    }

    /// The item that a cursor comes after; `None` without a cursor.
    pub(super) fn place<T>(
        self,
        cursor: Option<&str>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let place = text.as_deref().and_then(|text| text.strip_prefix(VERSION)).and_then(|text| {
            let (list, place) = text.strip_prefix(':')?.split_once(':')?;
            if list == self.word() { read(place) } else { None }
        });
        place.map(Some).ok_or_else(|| invalid_query("cursor is not one that this list gave"))
    }
}

/// Reads a number or an id that is written the way we write it, and no other.
pub(super) fn exactly<T: FromStr + Display>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|read| read.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_by_its_own_list_only() {
        let cursor = List::Events.after(17_u64);
        assert!(!cursor.contains("17") && cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(List::Events.place(Some(&cursor), exactly::<u64>).unwrap(), Some(17));
        assert_eq!(List::Events.place(None, exactly::<u64>).unwrap(), None);
        assert!(List::Devices.place(Some(&cursor), exactly::<u64>).is_err());
    }

    #[test]
    fn what_no_list_gave_is_refused() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let padded = format!("{}=", List::Events.after(1_u64));
        for bad in
            ["", "17", "%%%", &padded, &encoded(""), &encoded("1"), &encoded("2:events:17"), &encoded("11:events:17")]
        {
            assert!(List::Events.place(Some(bad), exactly::<u64>).is_err(), "{bad}");
        }
        for place in ["", "-1", "+1", "01", "1 ", "x", "99999999999999999999"] {
            assert!(List::Events.place(Some(&List::Events.after(place)), exactly::<u64>).is_err(), "{place}");
        }
    }
}
