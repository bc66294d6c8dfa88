//! Parser for `Retry-After` in both forms, seconds and date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use pos_port_clock::Clock;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The delay that the headers ask for; `None` if `Retry-After` is missing or malformed.
///
/// A date is relative to the response's own `Date`, because a terminal's clock may be wrong. `clock` is the fallback.
pub(crate) fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let delay = header_text(headers, RETRY_AFTER)?;
    if !delay.is_empty() && delay.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(delay.parse().unwrap_or(u64::MAX)));
    }
    let retry_at = httpdate::parse_http_date(delay).ok()?;
    let now = header_text(headers, DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let now = now.unwrap_or_else(|| SystemTime::from(clock.now()));
    Some(retry_at.duration_since(now).unwrap_or_default())
}

fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use pos_port_clock::ManualClock;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn parses_both_forms_and_rejects_anything_else() {
        let clock = ManualClock::at(datetime!(2025-12-13 14:25:30 UTC));
        const IN_TEN: &str = "Sat, 13 Dec 2025 14:25:40 GMT";
        type Headers = &'static [(HeaderName, &'static str)];
        let cases: [(Headers, Option<u64>); 9] = [
            (&[], None),
            (&[(RETRY_AFTER, "12")], Some(12)),
            (&[(RETRY_AFTER, " 0 ")], Some(0)),
            (&[(RETRY_AFTER, "99999999999999999999999")], Some(u64::MAX)),
            (&[(RETRY_AFTER, "-1")], None),
            (&[(RETRY_AFTER, "soon")], None),
            (&[(RETRY_AFTER, IN_TEN)], Some(10)),
            (&[(RETRY_AFTER, IN_TEN), (DATE, "Sat, 13 Dec 2025 14:25:00 GMT")], Some(40)),
            (&[(RETRY_AFTER, IN_TEN), (DATE, "Sat, 13 Dec 2025 15:00:00 GMT")], Some(0)),
        ];
        for (sent, seconds) in cases {
            let headers = sent.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            assert_eq!(retry_after(&headers, &clock), seconds.map(Duration::from_secs), "{sent:?}");
        }
    }
}
