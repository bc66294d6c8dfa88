//! Requests whose caller leaves in the middle: the connection is closed or reset before there is an answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::replica::Replica;

/// A whole request: its first line, headers and body.
pub(crate) struct Cut<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a str,
}

impl Cut<'_> {
    /// Sends it and leaves some milliseconds later, or at the first byte of an answer, whichever comes first. Whether it
    /// was done nobody knows. A server that cannot be reached is left all the same.
    pub(crate) async fn send(&self, to: &Replica, random: &mut StdRng) {
        let (patience, reset) = (Duration::from_micros(random.random_range(0..12_000)), random.random());
        let _ = self.try_send(to, patience, reset).await;
    }

    async fn try_send(&self, to: &Replica, patience: Duration, reset: bool) -> std::io::Result<()> {
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
        let _ = timeout(patience, stream.read_u8()).await;
        Ok(())
    }
}
