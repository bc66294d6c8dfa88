use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use url::Url;

use crate::settings::reader::{Reader, Verdict};

/// The door.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where to listen; port 0 is any free port.
    pub bind: SocketAddr,
    /// Worker threads; 0 is one for each core.
    pub workers: usize,
    /// The longest body accepted, in bytes.
    pub max_body_bytes: usize,
    /// The longest request head accepted, in bytes.
    pub max_header_bytes: usize,
    /// For a whole request.
    pub request_timeout: Duration,
    /// For a client to send a request's head.
    pub client_header_timeout: Duration,
    /// For an idle connection; zero closes it after each answer.
    pub keep_alive: Duration,
    /// Open connections for each worker.
    pub max_connections: usize,
    /// Calls of terminals under way for each worker.
    pub max_terminal_calls: usize,
    /// Calls of portals, machines and the identity provider under way for each worker.
    pub max_portal_calls: usize,
    /// Request bodies of which a part is still to come, for each worker.
    pub max_pending_bodies: usize,
    /// How long one more call waits for a place; at most half of `request_timeout`, of which it is a part.
    pub max_place_wait: Duration,
    /// Whether the log's span of a request is made only when the request writes a line.
    pub lazy_spans: bool,
    /// Origins that browsers may call from, serialised as browsers do.
    pub cors_allowed_origins: Vec<String>,
    /// Proxies whose word on a caller's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

impl HttpSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bind = reader.text("http.bind", |text| {
            text.parse().map_err(|_| {
                let remedy = "write both, like 0.0.0.0:8080 or [::1]:8080; names such as localhost are not looked up";
                (format!("is {text:?}, not an IP address and a port"), remedy.to_owned())
            })
        });
        let workers = reader.number("http.workers", 0..=1024);
        let max_body_bytes = reader.number("http.max_body_bytes", 1024..=10_485_760);
        let max_header_bytes = reader.number("http.max_header_bytes", 1024..=1_048_576);
        let request_timeout = reader.seconds("http.request_timeout_secs", 1..=600);
        let client_header_timeout = reader.seconds("http.client_header_timeout_secs", 1..=600);
        let keep_alive = reader.seconds("http.keep_alive_secs", 0..=3600);
        let max_connections = reader.number("http.max_connections", 1..=1_000_000);
        let max_terminal_calls = reader.number("http.max_terminal_calls", 1..=1_000_000);
        let max_portal_calls = reader.number("http.max_portal_calls", 1..=1_000_000);
        let max_pending_bodies = reader.number("http.max_pending_bodies", 1..=1_000_000);
        let max_place_wait = reader.millis("http.max_place_wait_ms", 0..=10_000);
        let lazy_spans = reader.flag("http.lazy_spans");
        let cors_allowed_origins = reader.texts("http.cors_allowed_origins", origin);
        let trusted_proxies = reader.texts("http.trusted_proxies", network);
        Some(Self {
            bind: bind?,
            workers: workers?,
            max_body_bytes: max_body_bytes?,
            max_header_bytes: max_header_bytes?,
            request_timeout: request_timeout?,
            client_header_timeout: client_header_timeout?,
            keep_alive: keep_alive?,
            max_connections: max_connections?,
            max_terminal_calls: max_terminal_calls?,
            max_portal_calls: max_portal_calls?,
            max_pending_bodies: max_pending_bodies?,
            max_place_wait: max_place_wait?.min(request_timeout? / 2),
            lazy_spans: lazy_spans?,
            cors_allowed_origins: cors_allowed_origins?,
            trusted_proxies: trusted_proxies?,
        })
    }
}

/// An origin is compared as text with what the browser sends, so it must be written as browsers write it.
fn origin(text: &str) -> Verdict<String> {
    let problem = || format!("holds {text:?}, which is no origin");
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| (problem(), "write origins like https://portal.example.com".to_owned()))?;
    let origin = url.origin().ascii_serialization();
    if origin == text { Ok(origin) } else { Err((problem(), format!("write {origin}"))) }
}

fn network_of(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The IPv4 network that an IPv6 one maps; a peer's address is compared in that form.
fn unmapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(mapped) = network else { return None };
    let address = mapped.addr().to_ipv4_mapped()?;
    let length = mapped.prefix_len().checked_sub(96)?;
    Some(IpNet::V4(Ipv4Net::new(address, length).ok()?.trunc()))
}

/// A network, or an address as the network of itself alone. One with bits beyond its length is a slip of the pen.
fn network(text: &str) -> Verdict<IpNet> {
    let network = network_of(text);
    let network = network.ok_or_else(|| {
        let trimmed = text.trim();
        if trimmed != text && network_of(trimmed).is_some() {
            return (format!("holds {text:?}, with blanks around it"), format!("write {trimmed}"));
        }
        let remedy = "write networks like 10.0.0.0/8 and addresses like 10.0.0.1 or fd00::1; names are not looked up";
        (format!("holds {text:?}, which is no IP network or address"), remedy.to_owned())
    })?;
    if network.prefix_len() == 0 {
        let remedy = "write the networks that your proxies are in, like 10.0.0.0/8";
        return Err((format!("holds {text:?}, which trusts every caller's word"), remedy.to_owned()));
    }
    if let Some(plain) = unmapped(network) {
        return Err((format!("holds {text:?}, which is compared in its IPv4 form"), format!("write {plain}")));
    }
    if network == network.trunc() {
        return Ok(network);
    }
    Err((format!("holds {text:?}, an address within a network"), format!("write {}", network.trunc())))
}
