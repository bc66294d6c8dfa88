//! Masking of credentials in URLs.

/// Replacement for a secret.
pub(super) const MASK: &str = "********";

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
