//! Raw HTTP requests and checks of the responses.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{SECRET, Target, fail};

/// Upper limit of a wait for a response.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A parsed response.
#[derive(Debug)]
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl RawResponse {
    pub(super) fn json(&self) -> Result<Value, TestCaseError> {
        serde_json::from_str(&self.body).map_err(|error| fail(format!("{error}: {self:?}")))
    }

    pub(super) fn message(&self) -> String {
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        body["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// `status/code` of an error, or the status of a success.
    pub(super) fn outcome(&self) -> String {
        let body = serde_json::from_str(&self.body).unwrap_or(Value::Null);
        match body["error"]["code"].as_str() {
            Some(code) => format!("{}/{code}", self.status),
            None => self.status.to_string(),
        }
    }
}

impl Target {
    /// Sends a request on its own connection and reads the response.
    pub(super) fn exchange(&self, request: &[u8]) -> Result<RawResponse, TestCaseError> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            // The server may respond and close before the whole request is sent.
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
        let answer = self.runtime.block_on(async { timeout(TIMEOUT, exchange).await });
        let answer = answer.map_err(|_| fail("no response"))?.map_err(|error| fail(error.to_string()))?;
        check_response(&answer)?;
        Ok(answer)
    }
}

/// The first response that is not interim (1xx), once it is complete.
fn parse(bytes: &[u8]) -> Option<RawResponse> {
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
    Some(RawResponse { status, headers, body })
}

/// The error codes of the contract (section 1).
const ERROR_CODES: [(u16, &str); 10] = [
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

/// Every response is a success or the error envelope with a documented code, has its trace id, and contains no secret. A
/// 5xx is a defect of the server, whatever was sent.
fn check_response(answer: &RawResponse) -> Result<(), TestCaseError> {
    let invalid = |why: &str| Err(fail(format!("{why}: {answer:?}")));
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let trace_id = header("x-trace-id").unwrap_or_default();
    if trace_id.len() != 32 || !trace_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return invalid("no trace id");
    }
    if format!("{answer:?}").contains(SECRET) {
        return invalid("it contains a secret");
    }
    if header("cache-control") != Some("no-store") {
        return invalid("a cache may store it");
    }
    if answer.status < 400 {
        return if (200..300).contains(&answer.status) { Ok(()) } else { invalid("neither success nor failure") };
    }
    let body = answer.json()?;
    let error = &body["error"];
    let known = ERROR_CODES.iter().any(|(status, code)| *status == answer.status && error["code"] == *code);
    if !known {
        return invalid("not a documented error");
    }
    let fields: Vec<&str> = error.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let valid = error["message"].as_str().is_some_and(|message| !message.is_empty()) && error["trace_id"] == trace_id;
    if !valid || !fields.iter().all(|name| ["code", "message", "details", "trace_id"].contains(name)) {
        return invalid("not the error envelope");
    }
    let has_headers = match answer.status {
        401 => header("www-authenticate").is_some(),
        405 => header("allow").is_some(),
        429 => header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)),
        _ => true,
    };
    if has_headers && header("content-type") == Some("application/json") {
        Ok(())
    } else {
        invalid("a header is missing")
    }
}
