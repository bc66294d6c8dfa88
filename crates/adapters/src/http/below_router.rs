//! Failures that the HTTP server itself answers, before there is a request to route: a head that is no HTTP, is too
//! large, or does not arrive. It sends them bare; here they get the envelope like every other failure. And the end of
//! a connection: half-closed ones are answered, and one that ends with an answer is closed without a reset.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pos_port_clock::Entropy;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::api_error::ApiError;
use super::connection::Connection;
use super::envelope;
use super::trace_id;

/// A connection on which a bare failure is replaced as it is written.
pub(super) struct EnvelopedStream {
    stream: TcpStream,
    connection: Rc<Connection>,
    entropy: Arc<dyn Entropy>,
    /// Until when input is discarded before the socket is closed.
    draining: Option<Pin<Box<Sleep>>>,
    /// What is written instead of the buffer at hand, and how much of it is out.
    instead: Option<(Vec<u8>, usize)>,
}

/// The server's own answers and what they mean: its failures are 500/5000, all others the contract's 400/4000.
const BARE: [(&[u8], &str); 4] = [
    (b"HTTP/1.1 400 ", "Malformed HTTP request"),
    (b"HTTP/1.1 408 ", "Request headers did not arrive in time"),
    (b"HTTP/1.1 431 ", "Request headers are too large"),
    (b"HTTP/1.1 500 ", INTERNAL),
];

const INTERNAL: &str = "Internal server error";

/// How long input is discarded before a socket is closed whose peer may be sending.
const DRAIN: Duration = Duration::from_secs(3);

/// How many reads of one connection follow each other.
const READS_AT_ONCE: usize = 32;

impl EnvelopedStream {
    pub(super) fn new(stream: TcpStream, entropy: Arc<dyn Entropy>) -> Self {
        Self { stream, connection: Rc::default(), entropy, draining: None, instead: None }
    }

    /// Its state, for the requests that come by it.
    pub(super) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    /// Discards what the peer still sends, until it closes the connection or the time is up.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let draining = self.draining.get_or_insert_with(|| Box::pin(sleep(DRAIN)));
        if draining.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut discarded = [MaybeUninit::uninit(); 8 * 1024];
        for _ in 0..READS_AT_ONCE {
            let mut buffer = ReadBuf::uninit(&mut discarded);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        // Others have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn replacement(&self, buffer: &[u8]) -> Option<Vec<u8>> {
        let (start, message) = bare_failure(buffer)?;
        let trace_id = trace_id::fresh(&*self.entropy);
        let (error, status) = if message == INTERNAL {
            tracing::error!(%trace_id, "failed below the router");
            (ApiError::internal("a bare failure of the HTTP library"), "500 Internal Server Error")
        } else {
            tracing::info!(%trace_id, message, "refused below the router");
            (ApiError::invalid(message), "400 Bad Request")
        };
        let body = envelope::text(&error, trace_id);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\nx-trace-id: \
             {trace_id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let before = buffer.get(..start).unwrap_or_default();
        Some([before, head.as_bytes(), body.as_bytes()].concat())
    }
}

/// Where in a buffer of answers a bare failure begins, if the buffer ends with one. An answer of ours never looks so: it
/// has a trace id.
fn bare_failure(buffer: &[u8]) -> Option<(usize, &'static str)> {
    if !buffer.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = last(buffer, b"HTTP/1.1 ")?;
    let head = buffer.get(start..)?;
    let has = |text: &[u8]| last(head, text).is_some();
    let is_bare = has(b"content-length: 0\r\n") && !has(b"x-trace-id: ");
    BARE.iter().find(|(status, _)| is_bare && head.starts_with(status)).map(|(_, message)| (start, *message))
}

fn last(buffer: &[u8], text: &[u8]) -> Option<usize> {
    buffer.windows(text.len()).rposition(|window| window == text)
}

impl AsyncWrite for EnvelopedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none() {
            this.instead = this.replacement(buffer).map(|bytes| (bytes, 0));
        }
        let Some((bytes, out)) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_write(context, buffer);
        };
        while let Some(rest) = bytes.get(*out..).filter(|rest| !rest.is_empty()) {
            *out += match ready!(Pin::new(&mut this.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => written,
            };
        }
        this.instead = None;
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        // Closing a socket on what is still being sent resets the connection, and a reset discards the answer at the peer (RFC
        // 9112, section 9.6).
        if self.connection.drains() {
            ready!(self.poll_drain(context));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for EnvelopedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let connection = Rc::clone(&self.connection);
        if connection.closes() {
            return Poll::Ready(Ok(()));
        }
        if !connection.has_ended() {
            let filled = buffer.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > filled || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // A peer that has shut down its sending side may still read. One that has closed the connection looks the same until
            // it resets it.
            connection.end_input();
        }
        connection.poll_end(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::bare_failure;

    #[test]
    fn only_a_bare_failure_at_the_end_is_one() {
        let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-trace-id: 1\r\n\r\n{}";
        let start = |text: &str| bare_failure(text.as_bytes()).map(|(start, _)| start);
        assert_eq!(start(bare), Some(0));
        assert_eq!(start(&format!("{good}{bare}")), Some(good.len()));
        assert_eq!(start(&bare.replace("400 Bad Request", "500 Internal Server Error")), Some(0));
        let ours = bare.replace("content-length", "x-trace-id: 1\r\ncontent-length");
        for other in ["", "\r\n\r\n", good, &format!("{bare}{good}"), &ours, &bare.replace("400", "404")] {
            assert_eq!(start(other), None, "{other}");
        }
    }
}
