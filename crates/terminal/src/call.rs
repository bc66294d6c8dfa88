//! HTTP exchange: sends one request, reads the response, maps failures to [`CallError`].

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::Terminal;
use crate::answer::Body;
use crate::error::{ApiError, CallError};
use crate::retry_after::retry_after;
use crate::trace::Trace;
use crate::wire_log::Sent;

/// Limit for a response body: far above any response of this API, and small enough for a terminal's memory.
const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Envelope {
    error: EnvelopeError,
}

#[derive(Deserialize)]
struct EnvelopeError {
    code: String,
    message: String,
    details: Option<Value>,
    #[serde(default)]
    trace_id: String,
}

/// Sends the request with a new trace id and parses the response.
pub(crate) async fn call<B: Body>(terminal: &Terminal, request: RequestBuilder) -> Result<B::Answer, CallError> {
    let trace = Trace::fresh(terminal.entropy());
    let requested_at = terminal.clock().now();
    let transport_error = |error: reqwest::Error| transport_error(error, &trace.id);
    let (client, request) = request.header("traceparent", &trace.parent).build_split();
    let request = request.map_err(transport_error)?;
    let logged = terminal.wire_log().map(|log| (log, Sent::of(&request)));
    let mut response = client.execute(request).await.map_err(transport_error)?;
    let bytes = read_limited(&mut response).await.map_err(transport_error)?;
    let now = terminal.clock().now();
    let status = response.status();
    if let Some((log, sent)) = logged {
        log.exchange(&sent, status.as_u16(), &String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()));
    }
    let wait = retry_after(response.headers(), terminal.clock());
    let unexpected = |problem| CallError::Unexpected {
        http_status: status.as_u16(),
        problem,
        retry_after: wait,
        trace_id: trace.id.clone(),
    };

    let bytes = bytes.ok_or_else(|| unexpected("it is too long"))?;
    if !is_json(response.headers()) {
        return Err(unexpected("it is not JSON"));
    }
    if status == StatusCode::OK {
        let body: B =
            serde_json::from_slice(&bytes).map_err(|_| unexpected("its fields are not the documented ones"))?;
        return body.parse(requested_at, now).map_err(unexpected);
    }
    let envelope = serde_json::from_slice(&bytes).map_err(|_| unexpected("it is no error envelope"))?;
    Err(CallError::Api(Box::new(api_error(status, envelope, wait))))
}

/// The body; `None` if it exceeds [`MAX_BODY_BYTES`].
async fn read_limited(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MAX_BODY_BYTES {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn api_error(status: StatusCode, Envelope { error }: Envelope, retry_after: Option<Duration>) -> ApiError {
    let EnvelopeError { code, message, details, trace_id } = error;
    ApiError { http_status: status.as_u16(), code, message, details, trace_id, retry_after }
}

fn transport_error(error: reqwest::Error, trace_id: &str) -> CallError {
    let trace_id = trace_id.to_owned();
    if error.is_timeout() {
        CallError::TimedOut { trace_id }
    } else {
        CallError::Unreachable { trace_id, source: error.without_url().into() }
    }
}
