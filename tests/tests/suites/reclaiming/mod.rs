//! Room is taken back: by schedule, by one replica at a time, in nobody's way; and nothing depends on it.

mod bent_anchors;
mod in_nobodys_way;
mod not_needed;
mod replicas;
mod scheduled;

use pos_application::{Reclaim, ReclaimOutcome};
use pos_port_storage::{ReclaimBatch, Reclaimable, Reclaimed, Storage};
use time::OffsetDateTime;

/// One batch of at most a hundred.
fn batch(what: Reclaimable, before: OffsetDateTime) -> ReclaimBatch {
    ReclaimBatch { what, before, at_most: 100, after: None, now: before }
}

/// How many rows of each sort are over at `before`.
async fn over(storage: &Storage, before: OffsetDateTime) -> Vec<(Reclaimable, u64)> {
    let mut counts = Vec::new();
    for what in Reclaimable::ALL {
        counts.push((what, storage.reclaiming.reclaimable(what, before, 1_000).await.unwrap()));
    }
    counts
}

/// Removes all of a sort that is over.
async fn sweep(storage: &Storage, what: Reclaimable, before: OffsetDateTime) -> u64 {
    let mut batch = batch(what, before);
    let mut removed = 0;
    loop {
        let Reclaimed::Done(done) = storage.reclaiming.reclaim(&batch).await.unwrap() else { continue };
        removed += done.removed;
        batch.after = done.through;
        if !done.more {
            return removed;
        }
    }
}

/// A whole round in which nothing fails; answers how many rows went.
async fn round(reclaim: &Reclaim) -> u64 {
    let (mut round, mut removed) = (reclaim.begin(), 0);
    while let Some(outcome) = round.next().await {
        match outcome {
            ReclaimOutcome::Done(step) => removed += step.removed,
            other => panic!("{other:?}"),
        }
    }
    removed
}
