//! Import requests that are rejected before the first result, with the error envelope.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pos_tests::server::{MERCHANT, send};
use pos_tests::stores::TestStore;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fixture::{CSV, ImportFixture, JSON_LINES, PATH, csv, on_both_engines, request, request_by};

on_both_engines!(
    an_import_requires_a_session_of_a_reseller_and_a_sufficient_role,
    malformed_requests_are_rejected,
    content_encoding_identity_is_accepted,
    a_file_of_a_half_closed_connection_is_imported,
    a_file_with_an_invalid_header_is_rejected,
    a_file_with_too_many_rows_is_rejected,
    a_caller_that_is_rejected_while_it_sends_receives_the_error,
    a_stalled_upload_is_ended,
);

async fn an_import_requires_a_session_of_a_reseller_and_a_sufficient_role(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 2, MERCHANT);
    let without_token = fixture.server.request(Method::POST, PATH).header("Content-Type", CSV).body(file.clone());
    send(without_token).await.failure(401, "4001").contains("Bearer").then_some(()).unwrap();
    for (user, status, code, message) in [
        ("nobody", 401, "4001", "Access token is invalid or expired"),
        ("sid", 401, "4001", "Session has not been initiated"),
        ("ann", 403, "4003", "Session does not act for a reseller"),
        ("vera", 403, "4003", "Role does not allow this"),
    ] {
        let refused = send(request_by(user, &fixture.server, "", CSV, file.clone())).await;
        assert_eq!(refused.failure(status, code), message, "{user}");
    }
    assert_eq!(fixture.devices().await, []);
    let get = send(fixture.server.request(Method::GET, PATH).bearer_auth("rob")).await;
    assert_eq!((get.failure(405, "4005").as_str(), get.header("allow")), ("Method not allowed", Some("POST")));
}

async fn malformed_requests_are_rejected(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 2, MERCHANT);
    for media_type in ["application/json", "text/plain", "", "text/csv; charset=latin1", "text/csvx"] {
        let refused = send(request(&fixture.server, "", media_type, file.clone())).await;
        assert!(refused.failure(415, "4015").starts_with("Content-Type must be text/csv"), "{media_type}");
    }
    let zipped = request(&fixture.server, "", CSV, file.clone()).header("Content-Encoding", "gzip");
    assert_eq!(send(zipped).await.failure(415, "4015"), "Content-Encoding must be identity");
    let twice = request(&fixture.server, "", CSV, file.clone()).header("Content-Type", CSV);
    assert_eq!(send(twice).await.failure(415, "4015"), "Content-Type must be sent once");
    for (query, why) in [
        ("?mode=some", "mode must be all_or_nothing or best_effort"),
        ("?mode=best_effort&mode=best_effort", "duplicate field `mode`"),
        ("?dry_run=true", "unknown field `dry_run`"),
    ] {
        let refused = send(request(&fixture.server, query, CSV, file.clone())).await;
        assert_eq!(refused.failure(400, "4000"), "Invalid query parameters", "{query}");
        assert!(refused.details()["message"].as_str().unwrap().starts_with(why), "{refused:?}");
    }
    for key in ["", "two words", &"k".repeat(256)] {
        let keyed = request(&fixture.server, "", CSV, file.clone()).header("Idempotency-Key", key);
        assert_eq!(send(keyed).await.failure(400, "4000"), "Idempotency-Key header is invalid", "{key:?}");
    }
    assert_eq!(fixture.devices().await, []);
}

async fn content_encoding_identity_is_accepted(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let plain = request(&fixture.server, "", CSV, csv(1, 2, MERCHANT)).header("Content-Encoding", "identity");
    assert_eq!(send(plain).await.status, 200);
}

/// Complete, and far larger than one read of the server.
async fn a_file_of_a_half_closed_connection_is_imported(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 3_000, MERCHANT);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer rob\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    let mut stream = TcpStream::connect(fixture.server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(format!("{head}{file}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"provisioned\":3000"),
        "{}",
        answer.get(..400).unwrap_or(&answer)
    );
}

async fn a_file_with_an_invalid_header_is_rejected(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (file, why) in [
        ("", "the file is empty: it must start with a header line with the column names"),
        (
            "device_id,merchant_id,serial\n",
            "unknown column \"serial\": the columns are device_id, merchant_id, label and location_id",
        ),
        ("device_id\nPOS-00000001\n", "the column merchant_id is missing"),
    ] {
        let refused = send(request(&fixture.server, "?mode=best_effort", CSV, file)).await;
        assert_eq!(refused.failure(400, "4000"), "Invalid request body");
        assert_eq!(refused.details(), json!({ "message": why }));
    }
}

async fn a_file_with_too_many_rows_is_rejected(store: TestStore) {
    let fixture = ImportFixture::with(store, vec![("POS__IMPORT__MAX_ROWS", "1500".into())]).await;
    for query in ["", "?mode=best_effort"] {
        let refused = send(request(&fixture.server, query, CSV, csv(1, 1_501, MERCHANT))).await;
        assert_eq!(refused.failure(413, "4013"), "Request body is too large");
        assert_eq!(refused.details(), json!({"message": "at most 1500 rows are accepted: split the file"}));
    }
    // Empty lines count against a limit, too.
    let blank = send(request(&fixture.server, "", JSON_LINES, "\n".repeat(1_501 * 4_096 + 1))).await;
    assert_eq!(blank.failure(413, "4013"), "Request body is too large");
    assert_eq!(fixture.devices().await, []);
    let largest = fixture.import("", CSV, csv(1, 1_500, MERCHANT)).await;
    assert_eq!(largest.totals["provisioned"], 1_500);
}

/// Far more than the buffers on the path hold, rejected at the first line or before it.
async fn a_caller_that_is_rejected_while_it_sends_receives_the_error(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = format!("device_id,merchant_id,serial\n{}", "x\n".repeat(4_000_000));
    for (user, status, code) in [("nobody", 401, "4001"), ("vera", 403, "4003"), ("rob", 400, "4000")] {
        for _ in 0..3 {
            let refused = send(request_by(user, &fixture.server, "", CSV, file.clone())).await;
            assert!(!refused.failure(status, code).is_empty());
        }
    }
}

async fn a_stalled_upload_is_ended(store: TestStore) {
    let fixture = ImportFixture::with(store, vec![("POS__IMPORT__STALL_TIMEOUT_SECS", "1".into())]).await;
    let start = csv(1, 1_100, MERCHANT);
    let stalling = stream::iter([Ok::<_, std::io::Error>(start)]).chain(stream::pending());
    let upload = fixture.server.request(Method::POST, PATH).bearer_auth("rob").header("Content-Type", CSV);
    let answer = tokio::time::timeout(Duration::from_secs(20), send(upload.body(Body::wrap_stream(stalling)))).await;
    assert_eq!(answer.unwrap().failure(400, "4000"), "Request body did not arrive in time");
    assert_eq!(fixture.devices().await, []);
}
