//! Requests as bytes, and the answers to them.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{SECRET, Target, fail};

/// Longer than any answer may take.
const LONG: Duration = Duration::from_secs(60);

/// An answer as it stood on the wire.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Raw {
    pub(super) fn json(&self) -> Result<Value, TestCaseError> {
        serde_json::from_str(&self.body).map_err(|error| fail(format!("{error}: {self:?}")))
    }

    pub(super) fn message(&self) -> String {
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// `status/code`, or the status of a success.
    pub(super) fn outcome(&self) -> String {
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        match body["error"]["code"].as_str() {
            Some(code) => format!("{}/{code}", self.status),
            None => self.status.to_string(),
        }
    }
}

impl Target {
    /// Sends a request on a connection of its own, and reads the answer.
    pub(super) fn exchange(&self, request: &[u8]) -> Result<Raw, TestCaseError> {
        let whole = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            // The server may answer and close before all is sent.
            let _ = stream.write_all(request).await;
            let mut bytes = Vec::new();
            loop {
                if let Some(answer) = parse(&bytes) {
                    return Ok(answer);
                }
                if stream.read_buf(&mut bytes).await? == 0 {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    return Err(std::io::Error::other(format!("the connection ended after {text:?}")));
                }
            }
        };
        let answer = self.runtime.block_on(async { timeout(LONG, whole).await });
        let answer = answer.map_err(|_| fail("no answer"))?.map_err(|error| fail(error.to_string()))?;
        well_formed(&answer)?;
        Ok(answer)
    }
}

/// The first answer that is none of the interim ones (1xx), once it is there whole.
fn parse(bytes: &[u8]) -> Option<Raw> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let rest = bytes.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    if status < 200 {
        return parse(rest);
    }
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let body = String::from_utf8(rest.get(..length)?.to_vec()).ok()?;
    Some(Raw { status, headers, body })
}

/// The contract's table (section 1), and what goes with each row.
const TABLE: [(u16, &str); 10] = [
    (400, "4000"),
    (400, "4004"),
    (400, "4220"),
    (401, "4001"),
    (403, "4003"),
    (404, "4004"),
    (405, "4005"),
    (413, "4013"),
    (415, "4015"),
    (429, "4290"),
];

/// Every answer is a success or the one envelope with a documented code, is marked with its trace id, and tells no
/// secret. A 5xx is a fault of ours whatever was sent.
fn well_formed(answer: &Raw) -> Result<(), TestCaseError> {
    let odd = |why: &str| Err(fail(format!("{why}: {answer:?}")));
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let trace_id = header("x-trace-id").unwrap_or_default();
    if trace_id.len() != 32 || !trace_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return odd("no trace id");
    }
    if format!("{answer:?}").contains(SECRET) {
        return odd("a secret comes back");
    }
    if header("cache-control") != Some("no-store") {
        return odd("it may be kept by a cache");
    }
    if answer.status < 400 {
        return if (200..300).contains(&answer.status) { Ok(()) } else { odd("neither success nor failure") };
    }
    let body = answer.json()?;
    let error = &body["error"];
    let known = TABLE.iter().any(|(status, code)| *status == answer.status && error["code"] == *code);
    if !known {
        return odd("no documented failure");
    }
    let fields: Vec<&str> = error.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let whole = error["message"].as_str().is_some_and(|message| !message.is_empty()) && error["trace_id"] == trace_id;
    if !whole || !fields.iter().all(|name| ["code", "message", "details", "trace_id"].contains(name)) {
        return odd("not the envelope");
    }
    let beside = match answer.status {
        401 => header("www-authenticate").is_some(),
        405 => header("allow").is_some(),
        429 => header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)),
        _ => true,
    };
    if beside && header("content-type") == Some("application/json") { Ok(()) } else { odd("a header is missing") }
}
