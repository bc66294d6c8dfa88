//! HTTP behaviour of every route: error envelope, trace id, methods, paths, malformed requests.

use pos_tests::server::{USER_AGENT, send};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::server;

const ROUTES: [(&str, &str); 8] = [
    ("/pos/bootstrap", "POST"),
    ("/pos/pairing-code", "POST"),
    ("/pos/status", "GET, HEAD"),
    ("/pos/claim", "POST"),
    ("/health/live", "GET, HEAD"),
    ("/health/ready", "GET, HEAD"),
    ("/metrics", "GET, HEAD"),
    ("/openapi.json", "GET, HEAD"),
];

#[tokio::test]
async fn a_wrong_method_is_405_with_allow() {
    let (_store, server) = server().await;
    for (path, allow) in ROUTES {
        for method in
            [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS, Method::from_bytes(b"BREW").unwrap()]
        {
            let answer = send(server.request(method.clone(), path)).await;
            assert_eq!(answer.failure(405, "4005"), "Method not allowed", "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
        let wrong = if allow == "POST" { Method::GET } else { Method::POST };
        assert_eq!(send(server.request(wrong, path)).await.failure(405, "4005"), "Method not allowed");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let (_store, server) = server().await;
    for path in [
        "/",
        "/pos",
        "/pos/status/",
        "/POS/status",
        "//pos/status",
        "/pos/%00",
        "/pos/status/../claim/x",
        "/docs/no.js",
    ] {
        let answer = send(server.request(Method::GET, path)).await;
        assert_eq!(answer.failure(404, "4004"), "Not found", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_callers_trace_id_is_returned() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let poll = |traceparent: &str| {
        let request = server.request(Method::GET, "/pos/status").header("X-Device-Id", &id);
        let request = request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos");
        send(request.header("traceparent", traceparent.to_owned()))
    };
    let answer = poll(&format!("00-{trace_id}-00f067aa0ba902b7-01")).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-trace-id")), (200, Some(trace_id)));
    let mut fresh = std::collections::HashSet::new();
    for malformed in ["", "nonsense", &format!("00-{trace_id}"), &"0".repeat(10_000), "00-é"] {
        let answer = poll(malformed).await;
        let id = answer.header("x-trace-id").unwrap_or_default().to_owned();
        assert_eq!(answer.status, 200, "{malformed}");
        assert!(id.len() == 32 && id != trace_id && fresh.insert(id), "{malformed}");
    }
    let unknown =
        server.request(Method::GET, "/nowhere").header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"));
    let answer = send(unknown).await;
    assert_eq!(answer.json()["error"]["trace_id"], trace_id);
    server.stop().await;
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (_store, server) = server().await;
    let answer = send(server.request(Method::HEAD, "/health/live")).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    server.stop().await;
}

#[tokio::test]
async fn an_unexpected_body_is_ignored() {
    let (_store, server) = server().await;
    let id = server.device().await;
    for body in ["{}", "nonsense", &"x".repeat(100_000)] {
        let request = server.request(Method::POST, "/pos/bootstrap").header("X-Device-Id", &id);
        let request = request.header("User-Agent", USER_AGENT).header("X-Client-Type", "pos");
        assert_eq!(send(request.body(body.to_owned())).await.status, 200);
    }
    server.stop().await;
}

/// Found by fuzzing: malformed bytes behind a request in progress must not suppress its response.
#[tokio::test]
async fn a_request_followed_by_malformed_bytes_gets_its_response() {
    let (_store, server) = server().await;
    let id = server.device().await;
    let address = server.url.trim_start_matches("http://");
    let call = format!(
        "GET /pos/status HTTP/1.1\r\nHost: a\r\nX-Device-Id: {id}\r\nUser-Agent: {USER_AGENT}\r\nX-Client-Type: pos\r\n"
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{call}\r\nNONSENSE\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    server.stop().await;
}

/// To a slow reader, so that the server has to wait before it sends each response.
#[tokio::test]
async fn a_large_response_followed_by_malformed_bytes_arrives_complete() {
    let (_store, server) = server().await;
    let address = server.url.trim_start_matches("http://").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.split_once("content-length: ").unwrap().1.split_once("\r\n").unwrap().0.parse::<usize>().unwrap();
    assert!(length > 500_000, "more than the socket buffers hold: {length}");
    let last = String::from_utf8_lossy(answer.get(end + length..).unwrap());
    assert!(last.starts_with("HTTP/1.1 400 ") && last.contains("\"4000\"") && last.ends_with("}}"), "{last}");
    server.stop().await;
}

#[tokio::test]
async fn a_malformed_request_gets_the_error_envelope() {
    let (_store, server) = server().await;
    let address = server.url.trim_start_matches("http://");
    let too_large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(140_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200));
    let after_an_answer = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n";
    let nul = "GET /pos/status HTTP/1.1\r\nHost: a\r\nX-Device-Id: POS-\0\r\n\r\n";
    for sent in ["NONSENSE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &many, nul, after_an_answer, &too_large] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let shown: String = sent.chars().take(40).collect();
        // The server may stop reading before all is sent.
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut bytes = vec![0; 4_096];
        let mut answer = String::new();
        while let Ok(count @ 1..) = stream.read(&mut bytes).await {
            answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        let start = answer.rfind("HTTP/1.1 ").unwrap_or_else(|| panic!("{shown:?}: no response but {answer:?}"));
        let (head, body) = answer[start..].split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{shown:?}: {answer}"));
        assert!(head.starts_with("HTTP/1.1 400 ") && head.contains("content-type: application/json"), "{answer}");
        assert_eq!(body["error"]["code"], "4000", "{shown:?}");
        let trace_id = body["error"]["trace_id"].as_str().unwrap();
        assert!(trace_id.len() == 32 && head.contains(&format!("x-trace-id: {trace_id}")), "{answer}");
    }
    server.stop().await;
}
