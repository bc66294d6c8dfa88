//! TCP stream wrapper: puts error responses of the HTTP library into the envelope, and closes connections without a reset.
//!
//! The HTTP library answers some errors before there is a request to route: a head that is malformed, too large or does not
//! arrive. Its responses have no body; this stream replaces them. Half-closed connections get their response.

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

use crate::errors::api_error::ApiError;
use crate::errors::envelope;
use crate::errors::table::{ErrorRow, HEADERS_NOT_RECEIVED, HEADERS_TOO_LARGE, INTERNAL, MALFORMED_REQUEST};
use crate::observe::trace_id;
use crate::server::connection::Connection;

/// Stream that replaces the library's error responses as they are written.
pub(crate) struct EnvelopedStream {
    stream: TcpStream,
    connection: Rc<Connection>,
    entropy: Arc<dyn Entropy>,
    /// Time limit for discarding input before the socket is closed.
    draining: Option<Pin<Box<Sleep>>>,
    /// Bytes written instead of the current buffer, and the number of bytes already written.
    substitute: Option<(Vec<u8>, usize)>,
}

/// Error responses of the library and ours: 500 becomes 500/5000, all others the contract's 400/4000.
const LIBRARY_ERRORS: [(&[u8], ErrorRow); 4] = [
    (b"HTTP/1.1 400 ", MALFORMED_REQUEST),
    (b"HTTP/1.1 408 ", HEADERS_NOT_RECEIVED),
    (b"HTTP/1.1 431 ", HEADERS_TOO_LARGE),
    (b"HTTP/1.1 500 ", INTERNAL),
];

/// Maximum time for which input is discarded before a socket is closed whose peer may still be sending.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of reads per poll of a draining connection.
const READS_PER_POLL: usize = 32;

impl EnvelopedStream {
    pub(crate) fn new(stream: TcpStream, entropy: Arc<dyn Entropy>) -> Self {
        Self { stream, connection: Rc::default(), entropy, draining: None, substitute: None }
    }

    /// Returns the connection state, which is shared with the requests.
    pub(crate) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.connection)
    }

    /// Discards input until the peer closes the connection or the time limit is reached.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let draining = self.draining.get_or_insert_with(|| Box::pin(sleep(DRAIN_TIMEOUT)));
        if draining.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut discarded = [MaybeUninit::uninit(); 8 * 1024];
        for _ in 0..READS_PER_POLL {
            let mut buffer = ReadBuf::uninit(&mut discarded);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
        // Yields to other tasks.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn replacement(&self, buffer: &[u8]) -> Option<Vec<u8>> {
        let (start, row) = library_error(buffer)?;
        let trace_id = trace_id::random(&*self.entropy);
        let error = if row == INTERNAL {
            tracing::error!(%trace_id, "HTTP library failed before routing");
            ApiError::internal("error response of the HTTP library")
        } else {
            tracing::info!(%trace_id, message = row.text, "rejected before routing");
            ApiError::from(row)
        };
        let status = row.code.status();
        let body = envelope::to_json(&error, trace_id);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\nx-trace-id: \
             {trace_id}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let before = buffer.get(..start).unwrap_or_default();
        Some([before, head.as_bytes(), body.as_bytes()].concat())
    }
}

/// Returns the start and error of an error response of the library, if a buffer of responses ends with one. The
/// application's own responses differ: they have a trace id.
fn library_error(buffer: &[u8]) -> Option<(usize, ErrorRow)> {
    if !buffer.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = last(buffer, b"HTTP/1.1 ")?;
    let head = buffer.get(start..)?;
    let has = |text: &[u8]| last(head, text).is_some();
    let is_bare = has(b"content-length: 0\r\n") && !has(b"x-trace-id: ");
    LIBRARY_ERRORS.iter().find(|(status, _)| is_bare && head.starts_with(status)).map(|(_, row)| (start, *row))
}

fn last(buffer: &[u8], text: &[u8]) -> Option<usize> {
    buffer.windows(text.len()).rposition(|window| window == text)
}

impl AsyncWrite for EnvelopedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.substitute.is_none() {
            this.substitute = this.replacement(buffer).map(|bytes| (bytes, 0));
        }
        let Some((bytes, written)) = &mut this.substitute else {
            return Pin::new(&mut this.stream).poll_write(context, buffer);
        };
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            *written += match ready!(Pin::new(&mut this.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => count,
            };
        }
        this.substitute = None;
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        // Closing a socket with unread input resets the connection, and a reset can discard the response at the peer (RFC 9112,
        // section 9.6).
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
            // A peer that has shut down its sending side may still read. A closed connection looks the same until the peer resets
            // it.
            connection.end_input();
        }
        connection.poll_end(context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::library_error;

    #[test]
    fn only_a_library_error_at_the_end_of_the_buffer_is_replaced() {
        let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let good = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-trace-id: 1\r\n\r\n{}";
        let start = |text: &str| library_error(text.as_bytes()).map(|(start, _)| start);
        assert_eq!(start(bare), Some(0));
        assert_eq!(start(&format!("{good}{bare}")), Some(good.len()));
        assert_eq!(start(&bare.replace("400 Bad Request", "500 Internal Server Error")), Some(0));
        let ours = bare.replace("content-length", "x-trace-id: 1\r\ncontent-length");
        for other in ["", "\r\n\r\n", good, &format!("{bare}{good}"), &ours, &bare.replace("400", "404")] {
            assert_eq!(start(other), None, "{other}");
        }
    }
}
