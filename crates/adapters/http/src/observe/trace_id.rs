//! Trace id of a request: from its `traceparent` header, or a new random one.

use actix_web::http::header::{HeaderMap, HeaderName};
use pos_domain::shared::TraceId;
use pos_port_clock::Entropy;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Length of the fields that every version has, including the hyphens.
const LENGTH: usize = 55;

/// Returns the trace id of the request's only valid `traceparent` (W3C Trace Context, section 3.2), else a new one.
pub(crate) fn of_request(headers: &HeaderMap, entropy: &dyn Entropy) -> TraceId {
    let mut sent = headers.get_all(TRACEPARENT);
    let from_caller = match (sent.next(), sent.next()) {
        (Some(value), None) => parse_traceparent(value.as_bytes()),
        _ => None,
    };
    from_caller.unwrap_or_else(|| random(entropy))
}

/// Generates a random trace id.
pub(crate) fn random(entropy: &dyn Entropy) -> TraceId {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    TraceId::from_bits(u128::from_le_bytes(bytes)).unwrap_or(TraceId::LEAST)
}

fn parse_traceparent(value: &[u8]) -> Option<TraceId> {
    let (known, more) = value.split_at_checked(LENGTH)?;
    let mut fields = std::str::from_utf8(known).ok()?.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace_id = TraceId::parse(fields.next()?)?;
    let parent_id = hex(fields.next()?, 16)?;
    hex(fields.next()?, 2)?;
    let may_follow = match version {
        0 => more.is_empty(),
        0xff => false,
        // A later version may add fields, of any bytes.
        _ => more.is_empty() || more.starts_with(b"-"),
    };
    (may_follow && parent_id != 0).then_some(trace_id)
}

fn hex(field: &str, digits: usize) -> Option<u64> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let valid = field.len() == digits && field.bytes().all(lower_hex);
    valid.then(|| u64::from_str_radix(field, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::parse_traceparent;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_traceparent_returns_its_trace_id() {
        for valid in [
            format!("00-{ID}-00f067aa0ba902b7-01"),
            format!("00-{ID}-00f067aa0ba902b7-00"),
            format!("cc-{ID}-00f067aa0ba902b7-01-what-the-future-will-be"),
            format!("aa-{ID}-00f067aa0ba902b7-01-é in the future"),
        ] {
            assert_eq!(parse_traceparent(valid.as_bytes()).map(|id| id.to_string()).as_deref(), Some(ID), "{valid}");
        }
    }

    #[test]
    fn a_malformed_traceparent_returns_none() {
        for malformed in [
            String::new(),
            ID.to_owned(),
            format!("00-{ID}-00f067aa0ba902b7"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{ID}-00f067aa0ba902b7-+1"),
            format!("00-{ID}é-00f067aa0ba902b7-01"),
            "-".repeat(10_000),
        ] {
            assert_eq!(parse_traceparent(malformed.as_bytes()), None, "{malformed}");
        }
    }
}
