//! Wire log: an observer of requests and responses, for demos and debugging.

use reqwest::Request;

/// A sent request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `GET` or `POST`.
    pub method: String,
    /// The full URL.
    pub url: String,
    /// Header names and values, in the order sent.
    pub headers: Vec<(String, String)>,
}

/// Receives every call that was answered. The body of a pairing-code response contains the code: show it at the
/// terminal only, never write it to a file.
pub trait WireLog: Send + Sync {
    /// Receives one call with the status and body of its response.
    fn exchange(&self, sent: &Sent, http_status: u16, body: &str);
}

impl Sent {
    pub(crate) fn of(request: &Request) -> Self {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Self {
            method: request.method().to_string(),
            url: request.url().to_string(),
            headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        }
    }
}
