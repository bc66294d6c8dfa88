//! Validation of texts that are compared byte for byte, and masking of credentials in URLs.

use super::reader::Validated;

/// Replacement for a secret.
pub(super) const MASK: &str = "********";

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

/// Masks the user information of every URL in a text.
pub(super) fn mask_credentials(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        masked.push_str(before);
        masked.push_str("://");
        let end = after.find(|c: char| matches!(c, '/' | '?' | '#' | '"' | '\\') || c.is_whitespace());
        let (authority, left) = after.split_at(end.unwrap_or(after.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                masked.push_str(MASK);
                masked.push('@');
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        rest = left;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_information_is_masked() {
        for (text, masked) in [
            ("https://a.example/realms/x@y", "https://a.example/realms/x@y"),
            ("https://u:p@a.example/x", "https://********@a.example/x"),
            ("https://u:p@q@a.example", "https://********@a.example"),
            ("is \"https://u@a\", not \"ftp://v:w@b?c@d\"", "is \"https://********@a\", not \"ftp://********@b?c@d\""),
            ("a@b, no URL", "a@b, no URL"),
            ("", ""),
        ] {
            assert_eq!(mask_credentials(text), masked);
        }
    }
}
