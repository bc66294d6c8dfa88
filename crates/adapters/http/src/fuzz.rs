//! Property tests of header parsers and cursors, each against an independent statement of the grammar.

use std::net::IpAddr;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR};
use pos_port_clock::ScriptedEntropy;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::TrustedProxies;
use crate::api::cursor::{List, parse_canonical};
use crate::observe::trace_id;

fn headers(name: HeaderName, lines: &[Vec<u8>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(name.clone(), value);
    }
    headers
}

/// Mutates a text in up to two positions.
fn mutated(text: impl Strategy<Value = String>, scraps: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), 0_usize..4, prop::sample::select(scraps));
    (text, vec(change, 0..3)).prop_map(|(text, changes)| {
        let mut bytes = text.into_bytes();
        for (at, replaced, scrap) in changes {
            let from = at.index(bytes.len() + 1);
            let to = (from + replaced).min(bytes.len());
            bytes.splice(from..to, scrap.bytes());
        }
        bytes
    })
}

fn traceparent() -> impl Strategy<Value = Vec<u8>> {
    let field = |digits: usize| format!("(0{{{digits}}}|[0-9a-f]{{{digits}}}|[0-9a-f]{{{digits}}})");
    let version = prop_oneof![5 => Just("00".to_owned()), 1 => Just("ff".to_owned()), 2 => "[0-9a-f]{2}"];
    let later = prop_oneof![3 => Just(String::new()), 1 => "-[ -~]{0,5}", 1 => "[ -~]{1,3}"];
    let ids =
        (proptest::string::string_regex(&field(32)).unwrap(), proptest::string::string_regex(&field(16)).unwrap());
    let whole = (version, ids, "[0-9a-f]{2}", later)
        .prop_map(|(version, (trace, parent), flags, later)| format!("{version}-{trace}-{parent}-{flags}{later}"));
    mutated(whole, vec!["", "", "-", "0", "f", "A", "g", " ", "\t", "00", ";", "é", "--"])
}

/// Expected trace id of a `traceparent`, by byte positions (W3C Trace Context, section 3.2).
fn expected_trace_id(value: &[u8]) -> Option<&[u8]> {
    let lower_hex = |bytes: &[u8]| bytes.iter().all(|byte| b"0123456789abcdef".contains(byte));
    let (version, trace, parent, flags) = (value.get(..2)?, value.get(3..35)?, value.get(36..52)?, value.get(53..55)?);
    let dashes = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    let digits = [version, trace, parent, flags].into_iter().all(lower_hex);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
    let end = match version {
        b"00" => value.len() == 55,
        b"ff" => false,
        _ => value.get(55).is_none_or(|next| *next == b'-'),
    };
    (dashes && digits && end && !zero(trace) && !zero(parent)).then_some(trace)
}

/// Generates a trusted proxy, a client, or neither.
fn hop() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}")),
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| format!("198.{a}.{b}.{c}")),
        1 => any::<u16>().prop_map(|low| format!("2001:db8::{low:x}")),
        1 => "[ -~]{0,12}".prop_map(|text| text.replace(',', "")),
    ]
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

proptest! {
    #[test]
    fn a_trace_id_is_accepted_exactly_when_the_standard_allows_it(value in traceparent()) {
        let sent = headers(HeaderName::from_static("traceparent"), std::slice::from_ref(&value));
        let random = trace_id::random(&ScriptedEntropy::new([1, 2, 3, 4])).to_string();
        let read = trace_id::of_request(&sent, &ScriptedEntropy::new([1, 2, 3, 4])).to_string();
        let expected = expected_trace_id(&value).map(|id| String::from_utf8_lossy(id).into_owned());
        prop_assert_eq!(read, expected.unwrap_or(random), "{}", String::from_utf8_lossy(&value));
    }

    #[test]
    fn two_traceparents_are_ignored(one in traceparent(), other in traceparent()) {
        let sent = headers(HeaderName::from_static("traceparent"), &[one, other]);
        prop_assume!(sent.get_all("traceparent").count() == 2);
        let read = trace_id::of_request(&sent, &ScriptedEntropy::new([1, 2, 3, 4]));
        prop_assert_eq!(read, trace_id::random(&ScriptedEntropy::new([1, 2, 3, 4])));
    }

    #[test]
    fn the_client_is_the_nearest_untrusted_hop(hops in vec(hop(), 0..6), lines in 1_usize..4) {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let mut expected = peer;
        for hop in hops.iter().rev() {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            expected = address;
            if !is_trusted(address) {
                break;
            }
        }
        // Random text may contain a port or brackets, which have their own tests.
        prop_assume!(!hops.iter().any(|hop| hop.contains(['[', ']']) || (hop.contains(':') && hop.contains('.'))));
        let each = hops.len().div_ceil(lines).max(1);
        let joined = hops.chunks(each).map(|hops| hops.join(",").into_bytes()).collect::<Vec<_>>();
        prop_assert_eq!(proxies.client_ip(peer, &headers(X_FORWARDED_FOR, &joined)), expected);
        let untrusted: IpAddr = "203.0.113.9".parse().unwrap();
        prop_assert_eq!(proxies.client_ip(untrusted, &headers(X_FORWARDED_FOR, &joined)), untrusted);
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored(lines in vec(vec(any::<u8>(), 0..60), 0..4), both in any::<bool>()) {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let untrusted: IpAddr = "203.0.113.9".parse().unwrap();
        let mut sent = headers(FORWARDED, &lines);
        if both {
            headers(X_FORWARDED_FOR, &lines).into_iter().for_each(|(name, value)| sent.append(name, value));
        }
        prop_assert_eq!(proxies.client_ip(untrusted, &sent), untrusted);
        // Headers of a trusted proxy are parsed; this must not panic.
        let _ = proxies.client_ip("10.0.0.1".parse().unwrap(), &sent);
    }

    #[test]
    fn a_cursor_round_trips_and_other_text_is_rejected(position in any::<u64>(), text in "[A-Za-z0-9_=%-]{0,40}") {
        let cursor = List::Events.after(position);
        prop_assert_eq!(List::Events.decode(Some(&cursor), parse_canonical::<u64>).ok(), Some(Some(position)));
        if let Ok(Some(read)) = List::Events.decode(Some(&text), parse_canonical::<u64>) {
            prop_assert_eq!(List::Events.after(read), text);
        }
    }
}
