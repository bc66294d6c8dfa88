//! Validation of texts that are compared byte for byte.

use super::reader::Validated;

/// Validates one name that is compared byte for byte. A value that could never match is a fault; the remedy has the value to
/// write.
pub(super) fn exact(text: &str, like: &str) -> Validated<String> {
    let fault = |problem: String, write: &str| Err((problem, format!("write {write:?}")));
    let name = text.trim();
    if name.is_empty() {
        return Err((format!("is {text:?}, which is blank"), format!("write one name, like {like:?}")));
    }
    if name.contains(',') || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let first = name.split(|c: char| c == ',' || c.is_whitespace() || c.is_control()).find(|part| !part.is_empty());
        return fault(format!("is {text:?}, which is more than one name"), first.unwrap_or(like));
    }
    if name == text { Ok(text.to_owned()) } else { fault(format!("is {text:?}, with surrounding whitespace"), name) }
}

/// Validates a claim name, or names joined by dots.
pub(super) fn claim(text: &str, like: &str) -> Validated<String> {
    if text.is_empty() {
        return Err(("is empty".to_owned(), format!("write the claim name, like {like}")));
    }
    let names = text.split('.').map(str::trim).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".");
    if names == text {
        return exact(text, like);
    }
    let write = if names.is_empty() { like } else { &names };
    Err((format!("is {text:?}, not a claim name or names joined by dots"), format!("write {write:?}")))
}
