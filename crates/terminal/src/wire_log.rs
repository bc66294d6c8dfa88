//! A look at what goes over the wire, for a demo or a fault that must be found.

use reqwest::Request;

/// A request as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// `GET` or `POST`.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Names, as sent, and values, in order.
    pub headers: Vec<(String, String)>,
}

/// Is told of every call that was answered, with the answer's status and body. The body of an answer to a pairing-code
/// request holds the code: such a log is for eyes at the terminal, not for a file.
pub trait WireLog: Send + Sync {
    /// One call and its answer.
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
