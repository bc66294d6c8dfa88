//! Minimal HTTP client that sends each request of a list exactly once and returns the responses, which `wrk` cannot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The responses to a list of requests.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) responses: Vec<Response>,
}

/// The response to one request of the list.
pub(crate) struct Response {
    /// The index of the request.
    pub(crate) index: usize,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) latency: Duration,
}

impl Outcome {
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Response> {
        self.responses.iter().filter(|response| !(200..300).contains(&response.status))
    }

    /// Fails with the first failure's body; for requests that only prepare a measurement.
    pub(crate) fn ensure_success(self, what: &str) -> anyhow::Result<Self> {
        let failures = self.failures().count();
        if let Some(first) = self.failures().next() {
            anyhow::bail!(
                "{failures} {what} failed, one with {}: {}",
                first.status,
                String::from_utf8_lossy(&first.body)
            );
        }
        Ok(self)
    }
}

/// Sends each request once. Each connection sends the next request when its last one was answered.
pub(crate) async fn send_all(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Vec<u8>>,
) -> anyhow::Result<Outcome> {
    let (requests, next) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)));
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await.context("the server accepts no connection")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for stream in streams {
        tasks.spawn(send_remaining(stream, requests.clone(), next.clone()));
    }
    let mut responses = Vec::with_capacity(requests.len());
    while let Some(done) = tasks.join_next().await {
        responses.extend(done.context("a connection's task")??);
    }
    Ok(Outcome { elapsed: started.elapsed(), responses })
}

/// Sends requests on one connection until none is left.
async fn send_remaining(
    mut stream: TcpStream,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<Response>> {
    let (mut responses, mut buffer) = (Vec::new(), Vec::with_capacity(4_096));
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(index) else { return Ok(responses) };
        let started = Instant::now();
        stream.write_all(request).await?;
        buffer.clear();
        let (status, body_start) = loop {
            anyhow::ensure!(stream.read_buf(&mut buffer).await? > 0, "the server closed a connection");
            if let Some(complete) = parse_response(&buffer)? {
                break complete;
            }
        };
        let (latency, body) = (started.elapsed(), buffer.split_off(body_start));
        responses.push(Response { index, status, body, latency });
    }
}

/// Sends a request and reads its response to the end.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server closed a connection");
        if let Some((status, _)) = parse_response(buffer)? {
            return Ok(status);
        }
    }
}

/// The status and the start of the body; `None` if the response is incomplete.
pub(crate) fn parse_response(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(buffer).context("a response that is not HTTP")? else {
        return Ok(None);
    };
    let status = response.code.context("a response without a status")?;
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(length.context("a response without a length")?.value)?.parse()?;
    Ok((buffer.len() >= body_start + length).then_some((status, body_start)))
}

#[cfg(test)]
mod tests {
    use super::parse_response;

    #[test]
    fn a_response_is_complete_when_its_body_is() {
        let text = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..text.len() {
            assert_eq!(parse_response(&text[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(parse_response(text).unwrap(), Some((404, text.len() - 5)));
        assert!(parse_response(b"not a response\r\n\r\n").is_err());
        assert!(parse_response(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
