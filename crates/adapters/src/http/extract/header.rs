use actix_web::http::header::{HeaderMap, HeaderName};

/// How a header that must be sent once was sent.
pub(in crate::http) enum Sole<'a> {
    Missing,
    Repeated,
    /// Bytes outside visible ASCII, spaces and tabs.
    NotAscii,
    Value(&'a str),
}

/// The value of `name` without the white space around it; an empty one counts as missing.
pub(in crate::http) fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Sole<'a> {
    let mut all = headers.get_all(name);
    match (all.next(), all.next()) {
        (None, _) => Sole::Missing,
        (Some(_), Some(_)) => Sole::Repeated,
        (Some(value), None) => match value.to_str().map(str::trim_ascii) {
            Ok("") => Sole::Missing,
            Ok(text) => Sole::Value(text),
            Err(_) => Sole::NotAscii,
        },
    }
}
