//! Where a request really came from: the peer, or, when that is a proxy of ours, whom it names.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// The networks of our own proxies, whose `Forwarded` (RFC 7239) or `X-Forwarded-For` is believed. Empty: nobody's.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// The address a request came from: the nearest hop that is no trusted proxy.
    ///
    /// Each proxy adds at the right whom it heard; whatever stands left of the first untrusted hop is that caller's own
    /// word and is not looked at. A hop that cannot be read ends the search at the proxy that named it. When both
    /// headers are there and disagree, one of them is the caller's invention, so neither is believed.
    #[must_use]
    pub fn origin(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        match (headers.contains_key(FORWARDED), headers.contains_key(X_FORWARDED_FOR)) {
            (false, false) => peer,
            (true, false) => self.walk(peer, headers, FORWARDED, forwarded_hop),
            (false, true) => self.walk(peer, headers, X_FORWARDED_FOR, address),
            (true, true) => {
                let forwarded = self.walk(peer, headers, FORWARDED, forwarded_hop);
                let agreed = forwarded == self.walk(peer, headers, X_FORWARDED_FOR, address);
                if agreed { forwarded } else { peer }
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Follows the hops from the nearest on. Commas within quotes are not minded: our own proxies write none, and a
    /// quote that a caller left open must not swallow what a proxy wrote after it.
    fn walk(&self, peer: IpAddr, headers: &HeaderMap, name: HeaderName, hop: fn(&str) -> Option<IpAddr>) -> IpAddr {
        let lines: Vec<&[u8]> = headers.get_all(name).map(|value| value.as_bytes()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
        let mut nearest = peer;
        for text in hops {
            let Some(address) = std::str::from_utf8(text).ok().and_then(|text| hop(text.trim())) else {
                return nearest;
            };
            nearest = address;
            if !self.trusts(nearest) {
                return nearest;
            }
        }
        nearest
    }
}

/// The address in one element of `Forwarded`: that of its only `for`.
fn forwarded_hop(element: &str) -> Option<IpAddr> {
    let mut nodes = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let (Some(node), None) = (nodes.next(), nodes.next()) else {
        return None;
    };
    match node.strip_prefix('"') {
        Some(quoted) => address(quoted.strip_suffix('"')?),
        // Brackets and colons must be quoted.
        None if node.contains(':') => None,
        None => address(node),
    }
}

/// An IP address, with or without a port; IPv6 also in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn origin(peer: &str, headers: &[(HeaderName, &str)]) -> String {
        let trusted = TrustedProxies(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        trusted.origin(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        for (name, sent) in [(FORWARDED, "for=198.51.100.7"), (X_FORWARDED_FOR, "198.51.100.7")] {
            assert_eq!(origin("203.0.113.9", &[(name, sent)]), "203.0.113.9");
        }
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        let nobody = TrustedProxies::default();
        assert_eq!(nobody.origin("127.0.0.1".parse().unwrap(), &headers).to_string(), "127.0.0.1");
    }

    #[test]
    fn the_nearest_untrusted_hop_is_the_origin() {
        for (sent, expected) in [
            ("198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
            ("1.1.1.1, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
            ("garbage, \"open, 198.51.100.7 ,fd00::7", "198.51.100.7"),
            ("198.51.100.7:4711", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("10.9.9.9, 10.8.8.8", "10.9.9.9"),
        ] {
            assert_eq!(origin(PROXY, &[(X_FORWARDED_FOR, sent)]), expected, "{sent}");
        }
        assert_eq!(origin("::ffff:10.0.0.1", &[(X_FORWARDED_FOR, "198.51.100.7")]), "198.51.100.7");
        let lines = [(X_FORWARDED_FOR, "1.1.1.1"), (X_FORWARDED_FOR, "198.51.100.7")];
        assert_eq!(origin(PROXY, &lines), "198.51.100.7", "a later line is nearer");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (sent, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"198.51.100.7:80\";proto=https;by=10.0.0.1", "198.51.100.7"),
            ("for=\"[2001:db8::7]\"", "2001:db8::7"),
            ("proto=https; for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=1.1.1.1, for=198.51.100.7, for=10.1.2.3", "198.51.100.7"),
            ("for=\", for=198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(origin(PROXY, &[(FORWARDED, sent)]), expected, "{sent}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_ignored() {
        let x_forwarded_for = ["", "unknown", "_hidden", "198.51.100.7 10.0.0.2", "198.51.100.7,", "1.2.3", "\u{e9}"];
        let forwarded = [
            "",
            "for",
            "for=",
            "for=unknown",
            "for=_id",
            "by=1.1.1.1",
            "for=1.1.1.1;for=2.2.2.2",
            "for=\"1.1.1.1",
            "for=2001:db8::7",
        ];
        for (name, texts) in [(X_FORWARDED_FOR, x_forwarded_for.to_vec()), (FORWARDED, forwarded.to_vec())] {
            for sent in texts {
                assert_eq!(origin(PROXY, &[(name.clone(), sent)]), PROXY, "{name}: {sent:?}");
            }
        }
        let half = [(X_FORWARDED_FOR, "unknown, 10.0.0.2")];
        assert_eq!(origin(PROXY, &half), "10.0.0.2", "as far as it can be followed");
    }

    #[test]
    fn two_headers_must_agree() {
        let both = |one, other| origin(PROXY, &[(FORWARDED, one), (X_FORWARDED_FOR, other)]);
        assert_eq!(both("for=198.51.100.7", "198.51.100.7"), "198.51.100.7");
        assert_eq!(both("for=1.1.1.1", "198.51.100.7"), PROXY);
    }
}
