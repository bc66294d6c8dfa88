//! Purge lease between two replicas: one batch at a time, and each row is deleted once.

use std::time::Duration as StdDuration;

use pos_domain::shared::AttemptLimit;
use pos_port_storage::Storage;
use pos_port_storage::audit::{ExpiredKind, Purged};
use pos_tests::server::{START, TestServer};
use pos_tests::stores::TestStore;
use time::Duration;
use tokio::time::timeout;

use super::batch;
use super::schedule::{every_second, metric, wait_for_metric};

const LIMIT: AttemptLimit = AttemptLimit { max_failures: 10, window: Duration::HOUR };

async fn add_windows(storage: &Storage, count: u32) {
    for number in 0..count {
        storage.client_failures.record(&format!("client-{number}"), &LIMIT, START).await.unwrap();
    }
}

/// A table lock blocks the batch of one replica. The other replica runs no batch meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replica_runs_a_batch_at_a_time() {
    let store = TestStore::postgres().await;
    let (one, other) = (store.opened().storage.clone(), store.reopened().await.storage);
    add_windows(&one, 5).await;
    let holder = store.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE client_failures IN SHARE MODE").await.unwrap();
    let first = tokio::spawn(async move { one.retention.purge(&batch(ExpiredKind::ClientFailures, START)).await });
    // The first replica holds the lease once it waits for the table.
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'client_failures'::regclass AND NOT granted";
    let waiting = async {
        let observer = store.client().await;
        while observer.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(StdDuration::from_secs(30), waiting).await.unwrap();
    for kind in ExpiredKind::ALL {
        assert_eq!(other.retention.purge(&batch(kind, START)).await.unwrap(), Purged::Busy, "{kind:?}");
    }
    holder.batch_execute("COMMIT").await.unwrap();
    let Purged::Done(purged) = first.await.unwrap().unwrap() else { panic!("the first replica has the lease") };
    assert_eq!(purged.removed, 5);
    let after = other.retention.purge(&batch(ExpiredKind::ClientFailures, START)).await.unwrap();
    assert!(matches!(after, Purged::Done(purged) if purged.removed == 0), "the lease ended with the batch");
}

/// A replica that dies in a batch releases the lease and rolls the batch back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_ends_with_its_holder() {
    let store = TestStore::postgres().await;
    let (one, other) = (store.reopened().await.storage, store.opened().storage.clone());
    add_windows(&one, 5).await;
    let holder = store.client().await;
    holder.batch_execute("BEGIN; LOCK TABLE client_failures IN SHARE MODE").await.unwrap();
    let blocked = tokio::spawn(async move { one.retention.purge(&batch(ExpiredKind::ClientFailures, START)).await });
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE relation = 'client_failures'::regclass AND NOT granted";
    let terminated = async {
        while holder.query_one(terminate, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(StdDuration::from_secs(30), terminated).await.unwrap();
    assert!(blocked.await.unwrap().is_err());
    holder.batch_execute("COMMIT").await.unwrap();
    let taken_over = async {
        loop {
            match other.retention.purge(&batch(ExpiredKind::ClientFailures, START)).await.unwrap() {
                Purged::Done(purged) => break purged.removed,
                Purged::Busy => tokio::time::sleep(StdDuration::from_millis(10)).await,
            }
        }
    };
    assert_eq!(timeout(StdDuration::from_secs(30), taken_over).await.unwrap(), 5);
}

/// Two servers purge on their schedules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_remove_each_row_once() {
    let store = TestStore::postgres().await;
    add_windows(&store.opened().storage, 300).await;
    let second = store.reopened().await;
    let one = TestServer::start(store.opened(), every_second());
    let other = TestServer::start(&second, every_second());
    for server in [&one, &other] {
        server.clock.advance(Duration::days(8));
    }
    let series = "pos_purged_rows_total{kind=\"client_failures\"}";
    let sum = async || metric(&one, series).await + metric(&other, series).await;
    let all_purged = async {
        while sum().await < 300 {
            tokio::time::sleep(StdDuration::from_millis(20)).await;
        }
    };
    timeout(StdDuration::from_secs(60), all_purged).await.unwrap();
    for server in [&one, &other] {
        let runs = metric(server, "pos_purge_runs_total{outcome=\"done\"}").await;
        wait_for_metric(server, "pos_purge_runs_total{outcome=\"done\"}", runs + 1).await;
    }
    assert_eq!(sum().await, 300);
    one.stop().await;
    other.stop().await;
}
