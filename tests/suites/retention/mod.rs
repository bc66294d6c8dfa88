//! Purge of expired rows: schedule, lease between replicas, locks, tampering, and independence of results from the purge.

mod purge_does_not_block;
mod purge_keeps_referenced;
mod replicas;
mod schedule;
mod tampered_checkpoints;

use pos_application::audit::{PurgeExpired, PurgeOutcome};
use pos_port_storage::Storage;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged};
use time::OffsetDateTime;

/// One batch of at most 100 rows.
fn batch(what: ExpiredKind, before: OffsetDateTime) -> PurgeBatch {
    PurgeBatch { what, before, at_most: 100, after: None, now: before }
}

/// Number of rows of each kind that are expired at `before`.
async fn expired_counts(storage: &Storage, before: OffsetDateTime) -> Vec<(ExpiredKind, u64)> {
    let mut counts = Vec::new();
    for what in ExpiredKind::ALL {
        counts.push((what, storage.retention.count_expired(what, before, 1_000).await.unwrap()));
    }
    counts
}

/// Deletes every expired row of a kind and returns the number.
async fn purge_all(storage: &Storage, what: ExpiredKind, before: OffsetDateTime) -> u64 {
    let mut batch = batch(what, before);
    let mut removed = 0;
    loop {
        let Purged::Done(done) = storage.retention.purge(&batch).await.unwrap() else { continue };
        removed += done.removed;
        batch.after = done.through;
        if !done.more {
            return removed;
        }
    }
}

/// Runs one purge without failures and returns the number of deleted rows.
async fn run_purge(purge: &PurgeExpired) -> u64 {
    let (mut run, mut removed) = (purge.begin(), 0);
    while let Some(outcome) = run.next().await {
        match outcome {
            PurgeOutcome::Done(step) => removed += step.removed,
            other => panic!("{other:?}"),
        }
    }
    removed
}
