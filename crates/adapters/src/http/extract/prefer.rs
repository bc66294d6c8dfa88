use std::convert::Infallible;
use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpRequest, web};

use crate::http::Api;

/// How long a caller would rather wait for a change than be answered at once (`Prefer: wait=25`, RFC 7240, section 4.3),
/// at most what the server allows. A preference that cannot be read is none (section 2).
pub(in crate::http) struct Prefer(pub(in crate::http) Option<Duration>);

impl FromRequest for Prefer {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let most = request.app_data::<web::Data<Api>>().map_or(Duration::ZERO, |api| api.limits.max_wait);
        let wait = wait(request.headers()).map(|wait| wait.min(most));
        ready(Ok(Self(wait.filter(|wait| !wait.is_zero()))))
    }
}

/// The first `wait`: of several with one name the first counts (section 2).
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all("prefer").filter_map(|line| line.to_str().ok());
    let preferences = lines.flat_map(|line| line.split(',')).map(|one| one.split(';').next().unwrap_or_default());
    let mut named = preferences.filter_map(|one| one.split_once('='));
    let (_, seconds) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    seconds.trim().trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_wait_is_read_among_other_preferences() {
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
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(HeaderName::from_static("prefer"), HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(wait(&headers), expected.map(Duration::from_secs), "{lines:?}");
        }
    }
}
