//! Client IP address of a request: the peer, or the address forwarded by trusted proxies.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, X_FORWARDED_FOR};
use ipnet::IpNet;

/// Networks of the proxies whose `Forwarded` (RFC 7239) or `X-Forwarded-For` header is trusted. Empty: no header is trusted.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Returns the client address: the nearest hop that is not a trusted proxy.
    ///
    /// Each proxy appends the address of its peer. Entries to the left of the first untrusted hop were sent by that hop and
    /// are ignored. An entry that cannot be parsed ends the search at the proxy that added it. If both headers are present
    /// and disagree, the client may have forged one of them, so both are ignored.
    #[must_use]
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        match (headers.contains_key(FORWARDED), headers.contains_key(X_FORWARDED_FOR)) {
            (false, false) => peer,
            (true, false) => self.resolve(peer, headers, FORWARDED, forwarded_hop),
            (false, true) => self.resolve(peer, headers, X_FORWARDED_FOR, address),
            (true, true) => {
                let forwarded = self.resolve(peer, headers, FORWARDED, forwarded_hop);
                let agreed = forwarded == self.resolve(peer, headers, X_FORWARDED_FOR, address);
                if agreed { forwarded } else { peer }
            }
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Follows the hops from the nearest on. Commas inside quotes also separate hops: trusted proxies write none, and an
    /// unclosed quote of a client must not hide what a proxy appended.
    fn resolve(&self, peer: IpAddr, headers: &HeaderMap, name: HeaderName, hop: fn(&str) -> Option<IpAddr>) -> IpAddr {
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

/// Returns the address of the only `for` in an element of `Forwarded`.
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
        // RFC 7239, section 4: brackets and colons must be quoted.
        None if node.contains(':') => None,
        None => address(node),
    }
}

/// Parses an IP address, with or without a port; IPv6 also in brackets.
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

    fn client_ip(peer: &str, headers: &[(HeaderName, &str)]) -> String {
        let trusted = TrustedProxies(["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        trusted.client_ip(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn headers_of_an_untrusted_peer_are_ignored() {
        for (name, sent) in [(FORWARDED, "for=198.51.100.7"), (X_FORWARDED_FOR, "198.51.100.7")] {
            assert_eq!(client_ip("203.0.113.9", &[(name, sent)]), "203.0.113.9");
        }
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        let none = TrustedProxies::default();
        assert_eq!(none.client_ip("127.0.0.1".parse().unwrap(), &headers).to_string(), "127.0.0.1");
    }

    #[test]
    fn the_nearest_untrusted_hop_is_the_client() {
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
            assert_eq!(client_ip(PROXY, &[(X_FORWARDED_FOR, sent)]), expected, "{sent}");
        }
        assert_eq!(client_ip("::ffff:10.0.0.1", &[(X_FORWARDED_FOR, "198.51.100.7")]), "198.51.100.7");
        let lines = [(X_FORWARDED_FOR, "1.1.1.1"), (X_FORWARDED_FOR, "198.51.100.7")];
        assert_eq!(client_ip(PROXY, &lines), "198.51.100.7", "a later line is nearer");
    }

    #[test]
    fn forwarded_is_parsed_as_in_rfc_7239() {
        for (sent, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=\"198.51.100.7:80\";proto=https;by=10.0.0.1", "198.51.100.7"),
            ("for=\"[2001:db8::7]\"", "2001:db8::7"),
            ("proto=https; for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=1.1.1.1, for=198.51.100.7, for=10.1.2.3", "198.51.100.7"),
            ("for=\", for=198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(client_ip(PROXY, &[(FORWARDED, sent)]), expected, "{sent}");
        }
    }

    #[test]
    fn an_invalid_hop_is_ignored() {
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
                assert_eq!(client_ip(PROXY, &[(name.clone(), sent)]), PROXY, "{name}: {sent:?}");
            }
        }
        let half = [(X_FORWARDED_FOR, "unknown, 10.0.0.2")];
        assert_eq!(client_ip(PROXY, &half), "10.0.0.2", "the last hop that can be parsed");
    }

    #[test]
    fn two_headers_must_agree() {
        let both = |one, other| client_ip(PROXY, &[(FORWARDED, one), (X_FORWARDED_FOR, other)]);
        assert_eq!(both("for=198.51.100.7", "198.51.100.7"), "198.51.100.7");
        assert_eq!(both("for=1.1.1.1", "198.51.100.7"), PROXY);
    }
}
