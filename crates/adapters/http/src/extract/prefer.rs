//! Extractor of `Prefer: wait`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::{FromRequest, HttpRequest, web};

use crate::state::Api;

/// Preferred wait for a change (`Prefer: wait=25`, RFC 7240, section 4.3), limited to the server's maximum. An invalid
/// preference is ignored (section 2).
pub(crate) struct Prefer(pub(crate) Option<Duration>);

pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");

impl FromRequest for Prefer {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let max = request.app_data::<web::Data<Api>>().map_or(Duration::ZERO, |api| api.limits.max_wait);
        let wait = wait(request.headers()).map(|wait| wait.min(max));
        ready(Ok(Self(wait.filter(|wait| !wait.is_zero()))))
    }
}

/// Returns the first `wait`: of several preferences with one name the first counts (section 2).
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(PREFER).filter_map(|line| line.to_str().ok());
    let preferences = lines.flat_map(|line| line.split(',')).map(|text| text.split(';').next().unwrap_or_default());
    let mut named = preferences.filter_map(|text| text.split_once('='));
    let (_, seconds) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    seconds.trim().trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn sent<'t>(lines: impl IntoIterator<Item = &'t str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    /// Generates the text of a preference and its wait. The outer `None` is another preference, the inner one an invalid wait.
    fn preference() -> impl Strategy<Value = (String, Option<Option<u64>>)> {
        let other = select(vec!["respond-async", "handling=lenient", "waits=4", "", "=", "return=\"wait\""]);
        let seconds = prop_oneof![
            3 => any::<u32>().prop_map(|seconds| (seconds.to_string(), Some(u64::from(seconds)))),
            1 => any::<u64>().prop_map(|seconds| (format!("\"{seconds}\""), Some(seconds))),
            1 => select(vec!["", "-1", "1.5", "soon", "1 2", "18446744073709551616", "٣"])
                .prop_map(|text| (text.to_owned(), None)),
        ];
        let wait = (
            select(vec!["wait", "Wait", "WAIT"]),
            select(vec!["", " ", "\t"]),
            seconds,
            select(vec!["", "; x=1", " ;wait=7"]),
        );
        prop_oneof![
            2 => other.prop_map(|text| (text.to_owned(), None)),
            3 => wait.prop_map(|(name, space, (text, seconds), after)| {
                (format!("{space}{name}{space}={space}{text}{after}"), Some(seconds))
            }),
        ]
    }

    proptest! {
        #[test]
        fn fuzz_the_first_wait_counts_in_any_arrangement_of_preferences(lines in vec(vec(preference(), 0..4), 0..4)) {
            let written: Vec<String> = lines.iter().map(|line| {
                line.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>().join(",")
            }).collect();
            // A header line with bytes other than visible ASCII is ignored.
            let is_ascii = |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
            let counted = written.iter().zip(&lines).filter(|(text, _)| is_ascii(text)).flat_map(|(_, line)| line);
            let expected = counted.filter_map(|(_, wait)| *wait).next().flatten().map(Duration::from_secs);
            prop_assert_eq!(wait(&sent(written.iter().map(String::as_str))), expected, "{:?}", written);
        }
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        for (lines, expected) in [
            (vec!["wait=25"], Some(25)),
            (vec!["respond-async, wait=10"], Some(10)),
            (vec!["respond-async", "Wait = \"7\"; foo=bar"], Some(7)),
            (vec!["wait=3, wait=9"], Some(3)),
            (vec!["wait=0"], Some(0)),
            (vec!["wait"], None),
            (vec!["wait=soon"], None),
            (vec!["wait=-1"], None),
            (vec!["wait=99999999999999999999999"], None),
            (vec!["return=minimal"], None),
            (vec![], None),
        ] {
            assert_eq!(wait(&sent(lines.iter().copied())), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
