//! The trace id of a request: the caller's, or a fresh one.

use actix_web::http::header::{HeaderMap, HeaderName};
use pos_domain::TraceId;
use pos_port_clock::Entropy;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The caller's, when it sent one valid `traceparent` (W3C Trace Context, section 3.2); else a fresh one.
pub(super) fn of_request(headers: &HeaderMap, entropy: &dyn Entropy) -> TraceId {
    let mut sent = headers.get_all(TRACEPARENT);
    let sole = match (sent.next(), sent.next()) {
        (Some(value), None) => value.to_str().ok().and_then(of_traceparent),
        _ => None,
    };
    sole.unwrap_or_else(|| fresh(entropy))
}

/// One nobody has had.
pub(super) fn fresh(entropy: &dyn Entropy) -> TraceId {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    TraceId::from_bits(u128::from_le_bytes(bytes)).unwrap_or(TraceId::LEAST)
}

fn of_traceparent(value: &str) -> Option<TraceId> {
    let mut fields = value.split('-');
    let version = hex(fields.next()?, 2)?;
    let trace_id = TraceId::parse(fields.next()?)?;
    let parent_id = hex(fields.next()?, 16)?;
    hex(fields.next()?, 2)?;
    let known_or_later = if version == 0 { fields.next().is_none() } else { version != 0xff };
    (known_or_later && parent_id != 0).then_some(trace_id)
}

fn hex(field: &str, digits: usize) -> Option<u64> {
    let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let valid = field.len() == digits && field.bytes().all(lower_hex);
    valid.then(|| u64::from_str_radix(field, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::of_traceparent;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_valid_traceparent_gives_its_trace_id() {
        for valid in [
            format!("00-{ID}-00f067aa0ba902b7-01"),
            format!("00-{ID}-00f067aa0ba902b7-00"),
            format!("cc-{ID}-00f067aa0ba902b7-01-what-the-future-will-be"),
        ] {
            assert_eq!(of_traceparent(&valid).map(|id| id.to_string()).as_deref(), Some(ID), "{valid}");
        }
    }

    #[test]
    fn a_malformed_traceparent_gives_none() {
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
            assert_eq!(of_traceparent(&malformed), None, "{malformed}");
        }
    }
}
