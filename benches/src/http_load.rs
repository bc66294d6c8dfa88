//! A small HTTP client for what `wrk` cannot do: each request of a list exactly once, and the answers kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What came of a list of requests.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) answers: Vec<Answer>,
}

/// An answer to one request of the list.
pub(crate) struct Answer {
    /// Which request, from 0.
    pub(crate) index: usize,
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) latency: Duration,
}

impl Outcome {
    pub(crate) fn failures(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| !(200..300).contains(&answer.status))
    }

    /// Fails with the first failure's text, for requests that only prepare a measurement.
    pub(crate) fn all_well(self, what: &str) -> anyhow::Result<Self> {
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

/// Sends each request once, over so many connections that each send the next one when the last is answered.
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
        tasks.spawn(work(stream, requests.clone(), next.clone()));
    }
    let mut answers = Vec::with_capacity(requests.len());
    while let Some(done) = tasks.join_next().await {
        answers.extend(done.context("a connection's task")??);
    }
    Ok(Outcome { elapsed: started.elapsed(), answers })
}

async fn work(
    mut stream: TcpStream,
    requests: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<Answer>> {
    let (mut answers, mut buffer) = (Vec::new(), Vec::with_capacity(4_096));
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = requests.get(index) else { return Ok(answers) };
        let started = Instant::now();
        stream.write_all(request).await?;
        buffer.clear();
        let (status, body_start) = loop {
            anyhow::ensure!(stream.read_buf(&mut buffer).await? > 0, "the server closed a connection");
            if let Some(whole) = whole_answer(&buffer)? {
                break whole;
            }
        };
        let (latency, body) = (started.elapsed(), buffer.split_off(body_start));
        answers.push(Answer { index, status, body, latency });
    }
}

/// Sends a request and reads its answer to the end.
pub(crate) async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server closed a connection");
        if let Some((status, _)) = whole_answer(buffer)? {
            return Ok(status);
        }
    }
}

/// The status and where the body begins, once all of the answer is there.
pub(crate) fn whole_answer(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(buffer).context("an answer that is no HTTP")? else {
        return Ok(None);
    };
    let status = response.code.context("an answer without a status")?;
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(length.context("an answer without a length")?.value)?.parse()?;
    Ok((buffer.len() >= body_start + length).then_some((status, body_start)))
}

#[cfg(test)]
mod tests {
    use super::whole_answer;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello";
        for end in 0..text.len() {
            assert_eq!(whole_answer(&text[..end]).unwrap(), None, "{end}");
        }
        assert_eq!(whole_answer(text).unwrap(), Some((404, text.len() - 5)));
        assert!(whole_answer(b"no answer at all\r\n\r\n").is_err());
        assert!(whole_answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
