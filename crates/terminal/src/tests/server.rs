//! Scripted HTTP server that records the requests it receives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(super) const CODE: &str = r#"{"pairing_code":"K7M3NP","expires_in_sec":300}"#;
pub(super) const OTHER_CODE: &str = r#"{"pairing_code":"AAAAAA","expires_in_sec":300}"#;
pub(super) const PENDING: &str = r#"{"device_status":"inactive","is_claimed":false,"pairing_code_status":"pending"}"#;
pub(super) const EXPIRED: &str = r#"{"device_status":"inactive","is_claimed":false,"pairing_code_status":"expired"}"#;
pub(super) const NO_CODE: &str = r#"{"device_status":"inactive","is_claimed":false,"pairing_code_status":"none"}"#;
pub(super) const CLAIMED: &str = r#"{"device_status":"claimed","is_claimed":true,"pairing_code_status":"used"}"#;

/// The scripted reaction to one request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status, extra header lines, body.
    Http(u16, String, String),
    /// Keep the connection open and send nothing.
    NoResponse,
    /// Close the connection in the middle of the response.
    BrokenResponse,
}

pub(super) fn ok(body: &str) -> Reply {
    Reply::Http(200, "content-type: application/json\r\n".into(), body.into())
}

pub(super) fn failure(status: u16, code: &str, headers: &str) -> Reply {
    let body = format!(
        r#"{{"error":{{"code":"{code}","message":"test error","details":{{"device_id":"POS-8F3A2C91"}},"trace_id":"abc123"}}}}"#
    );
    Reply::Http(status, format!("content-type: application/json\r\n{headers}"), body)
}

/// One received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) line: String,
    headers: Vec<(String, String)>,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: String,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    pub(super) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    /// Serves on a listener until the script ends; a later request fails the test.
    pub(super) fn on(listener: TcpListener, script: impl IntoIterator<Item = Reply>) -> Self {
        let mut script: VecDeque<Reply> = script.into_iter().collect();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, requests: requests.clone() };
        tokio::spawn(async move {
            let mut held_open = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await;
                requests.lock().unwrap().push(request);
                match script.pop_front() {
                    Some(Reply::Http(status, headers, body)) => send_response(stream, status, &headers, &body).await,
                    Some(Reply::NoResponse) => held_open.push(stream),
                    Some(Reply::BrokenResponse) => send_broken_response(stream).await,
                    None => send_response(stream, 400, "x-script: over\r\n", "").await,
                }
            }
        });
        server
    }

    pub(super) fn requests(&self) -> Vec<Received> {
        self.requests.lock().unwrap().clone()
    }

    /// Every request in short form: `code`, `status`, or the request line.
    pub(super) fn request_log(&self) -> Vec<String> {
        let short = |request: Received| match request.line.as_str() {
            "POST /pos/pairing-code HTTP/1.1" => "code".to_owned(),
            "GET /pos/status HTTP/1.1" => "status".to_owned(),
            other => other.to_owned(),
        };
        self.requests().into_iter().map(short).collect()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Received {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let split = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    Received { headers: lines.iter().skip(1).map(split).collect(), line: lines[0].clone() }
}

async fn send_response(mut stream: BufReader<TcpStream>, status: u16, headers: &str, body: &str) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    // The client may close the connection if the response is too long.
    let _ = stream.write_all(text.as_bytes()).await;
}

async fn send_broken_response(mut stream: BufReader<TcpStream>) {
    let text = "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(text.as_bytes()).await.unwrap();
}
