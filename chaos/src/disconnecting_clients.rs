//! Clients that disconnect early: they close or reset the connection before they receive a response.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::replica::Replica;

/// How the history counts a request that was abandoned.
pub(crate) const DISCONNECTED: &str = "client disconnected";

/// A complete request: method, path, headers and body.
pub(crate) struct AbandonedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a str,
}

impl AbandonedRequest<'_> {
    /// Sends the request, and disconnects up to 12 ms later or at the first byte of the response. Whether the server
    /// processed it is unknown. Connection errors are ignored.
    pub(crate) async fn send(&self, to: &Replica, random: &mut StdRng) {
        let (delay, reset) = (Duration::from_micros(random.random_range(0..12_000)), random.random());
        let _ = self.try_send(to, delay, reset).await;
    }

    async fn try_send(&self, to: &Replica, delay: Duration, reset: bool) -> std::io::Result<()> {
        let Self { method, path, headers, body } = self;
        let host = to.url.trim_start_matches("http://");
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        let mut stream = TcpStream::connect(host).await?;
        if reset {
            // Closing sends RST instead of FIN.
            stream.set_zero_linger()?;
        }
        stream.write_all(request.as_bytes()).await?;
        let _ = timeout(delay, stream.read_u8()).await;
        Ok(())
    }
}
