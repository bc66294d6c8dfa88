//! A batch that hangs half-way, with its rows locked, holds up no terminal and no claim.

use std::time::Duration as StdDuration;

use pos_port_storage::{Reclaimable, Reclaimed};
use pos_tests::server::{Options, START, TestServer};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use time::Duration;
use tokio::time::timeout;

use super::{batch, sweep};

/// Makes whoever deletes from this table wait for the advisory lock 1, after the rows are deleted and locked.
fn stop_at(table: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NULL; END $$; \
         CREATE TRIGGER wait_for_the_test AFTER DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION wait_for_the_test()"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_and_claims_go_on_while_a_batch_hangs() {
    for (what, table) in [
        (Reclaimable::EndedCodes, "ended_pairing_codes"),
        (Reclaimable::DeviceEvents, "device_events"),
        (Reclaimable::ClaimFailures, "claim_failures"),
        (Reclaimable::AuditEvents, "audit_events"),
    ] {
        let store = TestStore::postgres().await;
        let server = TestServer::start(store.opened(), Options::default());
        let id = server.device().await;
        for _ in 0..3 {
            server.code(&id).await;
        }
        let _ = server.claim("bob", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
        server.clock.advance(Duration::days(800));
        if what == Reclaimable::DeviceEvents {
            assert_eq!(sweep(&server.storage, Reclaimable::EndedCodes, START).await, 2);
        }
        let hand = store.client().await;
        hand.batch_execute(&stop_at(table)).await.unwrap();
        hand.batch_execute("SELECT pg_advisory_lock(1)").await.unwrap();
        let replica = store.reopened().await.storage;
        let hanging = tokio::spawn(async move { replica.reclaiming.reclaim(&batch(what, START)).await });
        let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        let hangs = async {
            while hand.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                tokio::time::sleep(StdDuration::from_millis(10)).await;
            }
        };
        timeout(StdDuration::from_secs(30), hangs).await.unwrap();

        let life = async {
            let code = server.code(&id).await;
            let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
            assert_eq!(poll["pairing_code_status"], "pending", "{table}: {poll}");
            let claimed = server.claim("ann", &json!({ "pairing_code": code })).await;
            assert_eq!(claimed.status, 200, "{table}: {claimed:?}");
            let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
            assert_eq!(poll["is_claimed"], true, "{table}: {poll}");
        };
        timeout(StdDuration::from_secs(20), life).await.unwrap_or_else(|_| panic!("held up by {table}"));
        assert!(!hanging.is_finished(), "{table}: the batch was under way all the time");

        hand.batch_execute("SELECT pg_advisory_unlock(1)").await.unwrap();
        let Reclaimed::Done(done) = hanging.await.unwrap().unwrap() else { panic!("nobody else is in a batch") };
        assert!(done.removed > 0, "{table}");
        server.stop().await;
    }
}

/// Rows that somebody is at are left alone, and go the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_use_are_passed_by() {
    let store = TestStore::postgres().await;
    let storage = &store.opened().storage;
    let limit = pos_domain::ClaimLimit { max_failures: 10, window: Duration::HOUR };
    for name in ["ann", "bob", "eve"] {
        storage.client_failures.record(name, &limit, START).await.unwrap();
    }
    let hand = store.client().await;
    hand.batch_execute("BEGIN; SELECT FROM client_failures WHERE subject = 'bob' FOR UPDATE").await.unwrap();
    let sweeping = sweep(storage, Reclaimable::ClientFailures, START);
    assert_eq!(timeout(StdDuration::from_secs(20), sweeping).await.unwrap(), 2);
    hand.batch_execute("COMMIT").await.unwrap();
    assert_eq!(sweep(storage, Reclaimable::ClientFailures, START).await, 1);
}
