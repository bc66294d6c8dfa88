//! Two replicas on one database: never both in a batch, and together they remove each row once.

use std::time::Duration as StdDuration;

use pos_domain::ClaimLimit;
use pos_port_storage::{Reclaimable, Reclaimed, Storage};
use pos_tests::server::{START, TestServer};
use pos_tests::stores::TestStore;
use time::Duration;
use tokio::time::timeout;

use super::batch;
use super::scheduled::{every_second, metric, reached};

const LIMIT: ClaimLimit = ClaimLimit { max_failures: 10, window: Duration::HOUR };

async fn windows(storage: &Storage, count: u32) {
    for number in 0..count {
        storage.client_failures.record(&format!("client-{number}"), &LIMIT, START).await.unwrap();
    }
}

/// One replica hangs in a batch, since somebody holds the table; the other leaves everything to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_one_is_in_a_batch_the_other_does_nothing() {
    let store = TestStore::postgres().await;
    let (one, other) = (store.opened().storage.clone(), store.reopened().await.storage);
    windows(&one, 5).await;
    let hand = store.client().await;
    hand.batch_execute("BEGIN; LOCK TABLE client_failures IN SHARE MODE").await.unwrap();
    let first = tokio::spawn(async move { one.reclaiming.reclaim(&batch(Reclaimable::ClientFailures, START)).await });
    // Once the first waits for the table it holds the lease.
    let waits = "SELECT count(*) FROM pg_locks WHERE relation = 'client_failures'::regclass AND NOT granted";
    let hangs = async {
        let eyes = store.client().await;
        while eyes.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(StdDuration::from_secs(30), hangs).await.unwrap();
    for what in Reclaimable::ALL {
        assert_eq!(other.reclaiming.reclaim(&batch(what, START)).await.unwrap(), Reclaimed::Elsewhere, "{what:?}");
    }
    hand.batch_execute("COMMIT").await.unwrap();
    let Reclaimed::Done(done) = first.await.unwrap().unwrap() else { panic!("it had the lease") };
    assert_eq!(done.removed, 5);
    let after = other.reclaiming.reclaim(&batch(Reclaimable::ClientFailures, START)).await.unwrap();
    assert!(matches!(after, Reclaimed::Done(done) if done.removed == 0), "the lease ended with the batch");
}

/// A replica that dies in a batch leaves neither the lease nor half of the batch behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_ends_with_whoever_held_it() {
    let store = TestStore::postgres().await;
    let (one, other) = (store.reopened().await.storage, store.opened().storage.clone());
    windows(&one, 5).await;
    let hand = store.client().await;
    hand.batch_execute("BEGIN; LOCK TABLE client_failures IN SHARE MODE").await.unwrap();
    let hanging = tokio::spawn(async move { one.reclaiming.reclaim(&batch(Reclaimable::ClientFailures, START)).await });
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
        WHERE relation = 'client_failures'::regclass AND NOT granted";
    let killed = async {
        while hand.query_one(kill, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
    };
    timeout(StdDuration::from_secs(30), killed).await.unwrap();
    assert!(hanging.await.unwrap().is_err());
    hand.batch_execute("COMMIT").await.unwrap();
    let taken_over = async {
        loop {
            match other.reclaiming.reclaim(&batch(Reclaimable::ClientFailures, START)).await.unwrap() {
                Reclaimed::Done(done) => break done.removed,
                Reclaimed::Elsewhere => tokio::time::sleep(StdDuration::from_millis(10)).await,
            }
        }
    };
    assert_eq!(timeout(StdDuration::from_secs(30), taken_over).await.unwrap(), 5);
}

/// Two servers go round by their schedules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_remove_each_row_once() {
    let store = TestStore::postgres().await;
    windows(&store.opened().storage, 300).await;
    let second = store.reopened().await;
    let one = TestServer::start(store.opened(), every_second());
    let other = TestServer::start(&second, every_second());
    for server in [&one, &other] {
        server.clock.advance(Duration::days(8));
    }
    let series = "pos_reclaimed_rows_total{kind=\"client_failures\"}";
    let sum = async || metric(&one, series).await + metric(&other, series).await;
    let all = async {
        while sum().await < 300 {
            tokio::time::sleep(StdDuration::from_millis(20)).await;
        }
    };
    timeout(StdDuration::from_secs(60), all).await.unwrap();
    for server in [&one, &other] {
        let rounds = metric(server, "pos_reclaim_rounds_total{outcome=\"done\"}").await;
        reached(server, "pos_reclaim_rounds_total{outcome=\"done\"}", rounds + 1).await;
    }
    assert_eq!(sum().await, 300);
    one.stop().await;
    other.stop().await;
}
