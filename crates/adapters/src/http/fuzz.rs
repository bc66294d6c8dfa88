//! Header values of every kind, each held against a statement of its grammar that is made apart from the code.

use std::net::IpAddr;

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR};
use pos_port_clock::ScriptedEntropy;
use proptest::collection::vec;
use proptest::prelude::*;

use super::TrustedProxies;
use super::cursor::{List, exactly};
use super::trace_id;

fn headers(name: HeaderName, lines: &[Vec<u8>]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(name.clone(), value);
    }
    headers
}

/// A text, changed in a few places.
fn nearly(text: impl Strategy<Value = String>, scraps: Vec<&'static str>) -> impl Strategy<Value = Vec<u8>> {
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
    nearly(whole, vec!["", "", "-", "0", "f", "A", "g", " ", "\t", "00", ";", "é", "--"])
}

/// W3C Trace Context, section 3.2, by the places of the bytes: the trace id of a value that must be believed.
fn stated(value: &[u8]) -> Option<&[u8]> {
    let lower_hex = |bytes: &[u8]| bytes.iter().all(|byte| b"0123456789abcdef".contains(byte));
    let (version, trace, parent, flags) = (value.get(..2)?, value.get(3..35)?, value.get(36..52)?, value.get(53..55)?);
    let dashes = [2, 35, 52].iter().all(|place| value.get(*place) == Some(&b'-'));
    let digits = [version, trace, parent, flags].into_iter().all(lower_hex);
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'0');
    let end = match version {
        b"00" => value.len() == 55,
        b"ff" => false,
        _ => value.get(55).is_none_or(|next| *next == b'-'),
    };
    (dashes && digits && end && !zero(trace) && !zero(parent)).then_some(trace)
}

/// A proxy of ours, a caller, or neither.
fn hop() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| format!("10.{a}.{b}.{c}")),
        3 => any::<[u8; 3]>().prop_map(|[a, b, c]| format!("198.{a}.{b}.{c}")),
        1 => any::<u16>().prop_map(|low| format!("2001:db8::{low:x}")),
        1 => "[ -~]{0,12}".prop_map(|text| text.replace(',', "")),
    ]
}

fn ours(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

proptest! {
    #[test]
    fn a_trace_id_is_believed_exactly_when_the_standard_says_so(value in traceparent()) {
        let sent = headers(HeaderName::from_static("traceparent"), std::slice::from_ref(&value));
        let fresh = trace_id::fresh(&ScriptedEntropy::new([1, 2, 3, 4])).to_string();
        let read = trace_id::of_request(&sent, &ScriptedEntropy::new([1, 2, 3, 4])).to_string();
        let expected = stated(&value).map(|id| String::from_utf8_lossy(id).into_owned());
        prop_assert_eq!(read, expected.unwrap_or(fresh), "{}", String::from_utf8_lossy(&value));
    }

    #[test]
    fn two_traceparents_are_none(one in traceparent(), other in traceparent()) {
        let sent = headers(HeaderName::from_static("traceparent"), &[one, other]);
        prop_assume!(sent.get_all("traceparent").count() == 2);
        let read = trace_id::of_request(&sent, &ScriptedEntropy::new([1, 2, 3, 4]));
        prop_assert_eq!(read, trace_id::fresh(&ScriptedEntropy::new([1, 2, 3, 4])));
    }

    #[test]
    fn a_caller_comes_from_the_nearest_hop_that_is_not_ours(hops in vec(hop(), 0..6), lines in 1_usize..4) {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let mut expected = peer;
        for hop in hops.iter().rev() {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            expected = address;
            if !ours(address) {
                break;
            }
        }
        // A port, or brackets, may stand in what was drawn at random; they have tests of their own.
        prop_assume!(!hops.iter().any(|hop| hop.contains(['[', ']']) || (hop.contains(':') && hop.contains('.'))));
        let each = hops.len().div_ceil(lines).max(1);
        let joined = hops.chunks(each).map(|hops| hops.join(",").into_bytes()).collect::<Vec<_>>();
        prop_assert_eq!(proxies.origin(peer, &headers(X_FORWARDED_FOR, &joined)), expected);
        let stranger: IpAddr = "203.0.113.9".parse().unwrap();
        prop_assert_eq!(proxies.origin(stranger, &headers(X_FORWARDED_FOR, &joined)), stranger);
    }

    #[test]
    fn nothing_a_stranger_sends_is_read(lines in vec(vec(any::<u8>(), 0..60), 0..4), both in any::<bool>()) {
        let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        let stranger: IpAddr = "203.0.113.9".parse().unwrap();
        let mut sent = headers(FORWARDED, &lines);
        if both {
            headers(X_FORWARDED_FOR, &lines).into_iter().for_each(|(name, value)| sent.append(name, value));
        }
        prop_assert_eq!(proxies.origin(stranger, &sent), stranger);
        // Of a proxy of ours it may be, and does no harm.
        let _ = proxies.origin("10.0.0.1".parse().unwrap(), &sent);
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is(place in any::<u64>(), text in "[A-Za-z0-9_=%-]{0,40}") {
        let cursor = List::Events.after(place);
        prop_assert_eq!(List::Events.place(Some(&cursor), exactly::<u64>).ok(), Some(Some(place)));
        if let Ok(Some(read)) = List::Events.place(Some(&text), exactly::<u64>) {
            prop_assert_eq!(List::Events.after(read), text);
        }
    }
}
