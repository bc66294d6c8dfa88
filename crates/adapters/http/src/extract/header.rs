//! Look-up of headers that must be sent once.

use actix_web::http::header::{HeaderMap, HeaderName};

/// Result of looking up a header that must be sent once.
pub(crate) enum SingleHeader<'a> {
    Missing,
    Repeated,
    /// The value has bytes other than visible ASCII, spaces and tabs.
    NotAscii,
    Value(&'a str),
}

/// Returns the value of `name` without surrounding white space. An empty value counts as missing.
pub(crate) fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> SingleHeader<'a> {
    let mut all = headers.get_all(name);
    match (all.next(), all.next()) {
        (None, _) => SingleHeader::Missing,
        (Some(_), Some(_)) => SingleHeader::Repeated,
        (Some(value), None) => match value.to_str().map(str::trim_ascii) {
            Ok("") => SingleHeader::Missing,
            Ok(text) => SingleHeader::Value(text),
            Err(_) => SingleHeader::NotAscii,
        },
    }
}
