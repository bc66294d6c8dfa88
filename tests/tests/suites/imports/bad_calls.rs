//! Calls that are refused before the first result, each in the one envelope.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use pos_tests::server::{MERCHANT, send};
use pos_tests::stores::TestStore;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{CSV, JSON_LINES, PATH, World, call, call_by, csv, on_both_engines};

on_both_engines!(
    strangers_and_low_roles_import_nothing,
    malformed_calls_are_refused,
    a_body_that_is_not_coded_may_say_so,
    a_file_is_imported_though_its_sender_has_shut_down_its_sending_side,
    a_file_at_fault_is_refused_whole,
    too_many_rows_are_refused_whole,
    a_caller_that_is_refused_while_it_sends_reads_why,
    a_caller_that_stalls_is_let_go,
);

async fn strangers_and_low_roles_import_nothing(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 2, MERCHANT);
    let nobody = world.server.request(Method::POST, PATH).header("Content-Type", CSV).body(file.clone());
    send(nobody).await.failure(401, "4001").contains("Bearer").then_some(()).unwrap();
    for (who, status, code, message) in [
        ("nobody", 401, "4001", "Access token is invalid or expired"),
        ("sid", 401, "4001", "Session has not been initiated"),
        ("ann", 403, "4003", "Session does not act for a reseller"),
        ("vera", 403, "4003", "Role does not allow this"),
    ] {
        let refused = send(call_by(who, &world.server, "", CSV, file.clone())).await;
        assert_eq!(refused.failure(status, code), message, "{who}");
    }
    assert_eq!(world.devices().await, []);
    let get = send(world.server.request(Method::GET, PATH).bearer_auth("rob")).await;
    assert_eq!((get.failure(405, "4005").as_str(), get.header("allow")), ("Method not allowed", Some("POST")));
}

async fn malformed_calls_are_refused(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 2, MERCHANT);
    for media_type in ["application/json", "text/plain", "", "text/csv; charset=latin1", "text/csvx"] {
        let refused = send(call(&world.server, "", media_type, file.clone())).await;
        assert!(refused.failure(415, "4015").starts_with("Content-Type must be text/csv"), "{media_type}");
    }
    let zipped = call(&world.server, "", CSV, file.clone()).header("Content-Encoding", "gzip");
    assert_eq!(send(zipped).await.failure(415, "4015"), "Content-Encoding must be identity");
    let twice = call(&world.server, "", CSV, file.clone()).header("Content-Type", CSV);
    assert_eq!(send(twice).await.failure(415, "4015"), "Content-Type must be sent once");
    for (query, why) in [
        ("?mode=some", "mode must be all_or_nothing or best_effort"),
        ("?mode=best_effort&mode=best_effort", "duplicate field `mode`"),
        ("?dry_run=true", "unknown field `dry_run`"),
    ] {
        let refused = send(call(&world.server, query, CSV, file.clone())).await;
        assert_eq!(refused.failure(400, "4000"), "Invalid query parameters", "{query}");
        assert!(refused.details()["message"].as_str().unwrap().starts_with(why), "{refused:?}");
    }
    for key in ["", "two words", &"k".repeat(256)] {
        let request = call(&world.server, "", CSV, file.clone()).header("Idempotency-Key", key);
        assert_eq!(send(request).await.failure(400, "4000"), "Idempotency-Key header is invalid", "{key:?}");
    }
    assert_eq!(world.devices().await, []);
}

async fn a_body_that_is_not_coded_may_say_so(store: TestStore) {
    let world = World::on(store).await;
    let plain = call(&world.server, "", CSV, csv(1, 2, MERCHANT)).header("Content-Encoding", "identity");
    assert_eq!(send(plain).await.status, 200);
}

/// Whole, and far more than the server reads at once.
async fn a_file_is_imported_though_its_sender_has_shut_down_its_sending_side(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 3_000, MERCHANT);
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer rob\r\nContent-Type: text/csv\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    let mut stream = TcpStream::connect(world.server.url.trim_start_matches("http://")).await.unwrap();
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

async fn a_file_at_fault_is_refused_whole(store: TestStore) {
    let world = World::on(store).await;
    for (file, why) in [
        ("", "the file is empty: it must begin with a header line that names the columns"),
        (
            "device_id,merchant_id,serial\n",
            "there is no column \"serial\": the columns are device_id, merchant_id, label and location_id",
        ),
        ("device_id\nPOS-00000001\n", "the column merchant_id is missing"),
    ] {
        let refused = send(call(&world.server, "?mode=best_effort", CSV, file)).await;
        assert_eq!(refused.failure(400, "4000"), "Invalid request body");
        assert_eq!(refused.details(), json!({ "message": why }));
    }
}

async fn too_many_rows_are_refused_whole(store: TestStore) {
    let world = World::with(store, vec![("POS__IMPORT__MAX_ROWS", "1500".into())]).await;
    for query in ["", "?mode=best_effort"] {
        let refused = send(call(&world.server, query, CSV, csv(1, 1_501, MERCHANT))).await;
        assert_eq!(refused.failure(413, "4013"), "Request body is too large");
        assert_eq!(refused.details(), json!({"message": "at most 1500 rows are accepted: split the file"}));
    }
    // Lines without rows are not for free.
    let blank = send(call(&world.server, "", JSON_LINES, "\n".repeat(1_501 * 4_096 + 1))).await;
    assert_eq!(blank.failure(413, "4013"), "Request body is too large");
    assert_eq!(world.devices().await, []);
    let just = world.import("", CSV, csv(1, 1_500, MERCHANT)).await;
    assert_eq!(just.totals["provisioned"], 1_500);
}

/// Far more than the buffers on the way hold, refused at the first line or before it.
async fn a_caller_that_is_refused_while_it_sends_reads_why(store: TestStore) {
    let world = World::on(store).await;
    let file = format!("device_id,merchant_id,serial\n{}", "x\n".repeat(4_000_000));
    for (who, status, code) in [("nobody", 401, "4001"), ("vera", 403, "4003"), ("rob", 400, "4000")] {
        for _ in 0..3 {
            let refused = send(call_by(who, &world.server, "", CSV, file.clone())).await;
            assert!(!refused.failure(status, code).is_empty());
        }
    }
}

async fn a_caller_that_stalls_is_let_go(store: TestStore) {
    let world = World::with(store, vec![("POS__IMPORT__STALL_TIMEOUT_SECS", "1".into())]).await;
    let start = csv(1, 1_100, MERCHANT);
    let stalling = stream::iter([Ok::<_, std::io::Error>(start)]).chain(stream::pending());
    let request = world.server.request(Method::POST, PATH).bearer_auth("rob").header("Content-Type", CSV);
    let answer = tokio::time::timeout(Duration::from_secs(20), send(request.body(Body::wrap_stream(stalling)))).await;
    assert_eq!(answer.unwrap().failure(400, "4000"), "Request body did not arrive in time");
    assert_eq!(world.devices().await, []);
}
