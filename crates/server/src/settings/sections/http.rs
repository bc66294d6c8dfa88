//! `[http]` settings.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use url::Url;

use crate::settings::reader::{Reader, Validated};

/// HTTP server settings.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Listen address; port 0 is any free port.
    pub bind: SocketAddr,
    /// Worker threads; 0 is one per core.
    pub workers: usize,
    /// Maximum body size, in bytes.
    pub max_body_bytes: usize,
    /// Maximum request head size, in bytes.
    pub max_header_bytes: usize,
    /// Timeout of a whole request.
    pub request_timeout: Duration,
    /// Timeout for a client to send a request head.
    pub client_header_timeout: Duration,
    /// Timeout of an idle connection; zero closes it after each response.
    pub keep_alive: Duration,
    /// Maximum open connections per worker.
    pub max_connections: usize,
    /// Concurrency limit for terminal requests, per worker.
    pub max_concurrent_terminal_requests: usize,
    /// Concurrency limit for requests of portals, API clients and the identity provider, per worker.
    pub max_concurrent_portal_requests: usize,
    /// Maximum requests with an incomplete body, per worker.
    pub max_pending_bodies: usize,
    /// How long a request waits for a permit of a concurrency limit; at most half of `request_timeout`, which includes it.
    pub queue_timeout: Duration,
    /// Whether the span of a request is created only when the request writes a log line.
    pub lazy_spans: bool,
    /// CORS origins, serialised as browsers do.
    pub cors_allowed_origins: Vec<String>,
    /// Proxies whose forwarded client IP is trusted.
    pub trusted_proxies: Vec<IpNet>,
}

impl HttpSettings {
    pub(in crate::settings) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let bind = reader.text("http.bind", |text| {
            text.parse().map_err(|_| {
                let remedy = "write both, like 0.0.0.0:8080 or [::1]:8080; names such as localhost are not resolved";
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
        let max_concurrent_terminal_requests = reader.number("http.max_concurrent_terminal_requests", 1..=1_000_000);
        let max_concurrent_portal_requests = reader.number("http.max_concurrent_portal_requests", 1..=1_000_000);
        let max_pending_bodies = reader.number("http.max_pending_bodies", 1..=1_000_000);
        let queue_timeout = reader.millis("http.queue_timeout_ms", 0..=10_000);
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
            max_concurrent_terminal_requests: max_concurrent_terminal_requests?,
            max_concurrent_portal_requests: max_concurrent_portal_requests?,
            max_pending_bodies: max_pending_bodies?,
            queue_timeout: queue_timeout?.min(request_timeout? / 2),
            lazy_spans: lazy_spans?,
            cors_allowed_origins: cors_allowed_origins?,
            trusted_proxies: trusted_proxies?,
        })
    }
}

/// Validates an origin. It is compared as text with what the browser sends, so it must be written as browsers write it.
fn origin(text: &str) -> Validated<String> {
    let problem = || format!("contains {text:?}, which is not an origin");
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| (problem(), "write origins like https://portal.example.com".to_owned()))?;
    let origin = url.origin().ascii_serialization();
    if origin == text { Ok(origin) } else { Err((problem(), format!("write {origin}"))) }
}

fn network_of(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Returns the IPv4 network that an IPv6 network maps. Peer addresses are compared in that form.
fn unmapped(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(mapped) = network else { return None };
    let address = mapped.addr().to_ipv4_mapped()?;
    let length = mapped.prefix_len().checked_sub(96)?;
    Some(IpNet::V4(Ipv4Net::new(address, length).ok()?.trunc()))
}

/// Parses a network, or an address as a network of one address. Address bits beyond the prefix are a mistake.
fn network(text: &str) -> Validated<IpNet> {
    let network = network_of(text);
    let network = network.ok_or_else(|| {
        let trimmed = text.trim();
        if trimmed != text && network_of(trimmed).is_some() {
            return (format!("contains {text:?}, with surrounding whitespace"), format!("write {trimmed}"));
        }
        let remedy = "write networks like 10.0.0.0/8 and addresses like 10.0.0.1 or fd00::1; names are not resolved";
        (format!("contains {text:?}, which is not an IP network or address"), remedy.to_owned())
    })?;
    if network.prefix_len() == 0 {
        let remedy = "write the networks of your proxies, like 10.0.0.0/8";
        return Err((format!("contains {text:?}, which trusts every client"), remedy.to_owned()));
    }
    if let Some(plain) = unmapped(network) {
        return Err((format!("contains {text:?}, which is compared in its IPv4 form"), format!("write {plain}")));
    }
    if network == network.trunc() {
        return Ok(network);
    }
    Err((format!("contains {text:?}, which has address bits beyond its prefix"), format!("write {}", network.trunc())))
}
