//! Locks of a purge batch: a hanging batch blocks no terminal and no claim, and a purge skips locked rows.

use std::time::Duration as StdDuration;

use pos_port_storage::audit::{ExpiredKind, Purged};
use pos_tests::server::{Options, START, TestServer};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use time::Duration;
use tokio::time::timeout;

use super::{batch, purge_all};

/// A trigger that makes each DELETE of this table wait for advisory lock 1 after it locked and deleted its rows.
fn delete_waits(table: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$; \
         CREATE TRIGGER wait_for_the_test AFTER DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION wait_for_the_test()"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_batch_blocks_no_terminal_and_no_claim() {
    for (kind, table) in [
        (ExpiredKind::PastCodes, "past_pairing_codes"),
        (ExpiredKind::DeviceEvents, "device_events"),
        (ExpiredKind::ClaimFailures, "claim_failures"),
        (ExpiredKind::AuditEvents, "audit_events"),
    ] {
        let store = TestStore::postgres().await;
        let server = TestServer::start(store.opened(), Options::default());
        let id = server.device().await;
        for _ in 0..3 {
            server.code(&id).await;
        }
        let _ = server.claim("bob", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
        server.clock.advance(Duration::days(800));
        if kind == ExpiredKind::DeviceEvents {
            assert_eq!(purge_all(&server.storage, ExpiredKind::PastCodes, START).await, 2);
        }
        let client = store.client().await;
        client.batch_execute(&delete_waits(table)).await.unwrap();
        client.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
        let replica = store.reopened().await.storage;
        let batch_task = tokio::spawn(async move { replica.retention.purge(&batch(kind, START)).await });
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let waiting = async {
            while client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                tokio::time::sleep(StdDuration::from_millis(10)).await;
            }
        };
        timeout(StdDuration::from_secs(30), waiting).await.unwrap();

        let pairing = async {
            let code = server.code(&id).await;
            let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
            assert_eq!(poll["pairing_code_status"], "pending", "{table}: {poll}");
            let claimed = server.claim("ann", &json!({ "pairing_code": code })).await;
            assert_eq!(claimed.status, 200, "{table}: {claimed:?}");
            let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
            assert_eq!(poll["is_claimed"], true, "{table}: {poll}");
        };
        timeout(StdDuration::from_secs(20), pairing).await.unwrap_or_else(|_| panic!("blocked by {table}"));
        assert!(!batch_task.is_finished(), "{table}: the batch ended too early");

        client.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
        let Purged::Done(purged) = batch_task.await.unwrap().unwrap() else { panic!("no lease") };
        assert!(purged.removed > 0, "{table}");
        server.stop().await;
    }
}

/// A batch skips locked rows, and the next one deletes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locked_rows_are_skipped() {
    let store = TestStore::postgres().await;
    let storage = &store.opened().storage;
    let limit = pos_domain::shared::AttemptLimit { max_failures: 10, window: Duration::HOUR };
    for name in ["ann", "bob", "eve"] {
        storage.client_failures.record(name, &limit, START).await.unwrap();
    }
    let client = store.client().await;
    client.batch_execute("BEGIN; SELECT FROM client_failures WHERE subject = 'bob' FOR UPDATE").await.unwrap();
    let purging = purge_all(storage, ExpiredKind::ClientFailures, START);
    assert_eq!(timeout(StdDuration::from_secs(20), purging).await.unwrap(), 2);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(purge_all(storage, ExpiredKind::ClientFailures, START).await, 1);
}
