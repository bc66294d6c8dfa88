//! Batched saves of transitions. Each has its own condition and its own outcome. Results are sent and subscribers are
//! notified only after the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use diesel_async::RunQueryDsl;
use pos_domain::device::Transition;
use pos_port_storage::shared::{SaveError, StorageError};
use tokio::time::{Instant, sleep_until};

use crate::engine_error::{EngineError, TooSlow, shared};
use crate::postgres::batching::{BatchWorkers, BatchedCall, QueuedCall};
use crate::postgres::connection::PgConn;
use crate::postgres::device::save::{RowOutcome, SaveBatch, save_error};
use crate::postgres::pairing::notifier::ChangeNotifier;
use crate::postgres::pool::PgManager;
use crate::postgres::worker::{BatchWorker, StatementError};

/// Shortest and longest pause before a save with a locked row is retried. The pause doubles after each attempt.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(160));

/// How long a batch without a ready save waits before new calls are added.
const REST: Duration = Duration::from_millis(5);

/// Maximum number of saves of one queue that wait for locked rows.
const MAX_HELD: usize = 1_024;

pub(crate) struct Saves {
    workers: BatchWorkers<Save>,
    changes: Arc<ChangeNotifier>,
}

struct Save {
    transition: Transition,
    changes: Arc<ChangeNotifier>,
    held: Option<Held>,
}

/// Retry state of a save that waits for a locked row, or for a lock on the whole table.
struct Held {
    next: Instant,
    pause: Duration,
    until: Instant,
}

impl Saves {
    pub(crate) fn new(opener: Arc<PgManager>, changes: Arc<ChangeNotifier>) -> Self {
        Self { workers: BatchWorkers::new(opener), changes }
    }

    pub(crate) async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        let (transition, changes) = (transition.clone(), Arc::clone(&self.changes));
        self.workers.call(Save { transition, changes, held: None }).await?
    }
}

impl QueuedCall<Save> {
    /// Notifies subscribers and sends the result. The worker notifies, because the caller may be cancelled.
    fn complete(self, outcome: Result<(), SaveError>) {
        self.call.changes.after_save(&self.call.transition, &outcome);
        self.answer(outcome);
    }

    /// Holds the save for a retry if its statement was rolled back, else sends the error.
    fn fail(self, error: StatementError, max_wait: Duration, batch: &mut Vec<Self>) {
        match error {
            StatementError::RolledBack(_) => self.hold(max_wait, batch),
            error => self.complete(Err(save_error(error.into()))),
        }
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.call.held.as_ref().is_none_or(|held| held.next <= now)
    }

    /// Schedules a retry, or sends an error after `max_wait`.
    fn hold(mut self, max_wait: Duration, batch: &mut Vec<Self>) {
        let now = Instant::now();
        let (pause, until) = match &self.call.held {
            Some(held) => (held.pause.saturating_mul(2).min(PAUSES.1), held.until),
            None => (PAUSES.0, now + max_wait),
        };
        if now < until && batch.len() < MAX_HELD {
            self.call.held = Some(Held { next: (now + pause).min(until), pause, until });
            batch.push(self);
        } else {
            let what = "waiting for the row of a device";
            self.answer(Err(StorageError::from(EngineError::unavailable(TooSlow { what, limit: max_wait })).into()));
        }
    }
}

impl BatchedCall for Save {
    type Answer = Result<(), SaveError>;
    type Connection = PgConn;
    const BATCH: usize = 128;

    async fn run_batch(worker: &mut BatchWorker<PgConn>, batch: &mut Vec<QueuedCall<Self>>) {
        let mut ready = take_ready(batch);
        if ready.is_empty() {
            let next = batch.iter().filter_map(|queued| Some(queued.call.held.as_ref()?.next)).min();
            let rest = Instant::now() + REST;
            sleep_until(next.map_or(rest, |next| next.min(rest))).await;
            return;
        }
        // Entries of unique indexes are locked in one order, so that two batches with some of the same codes do not
        // deadlock. If a plan uses another order, the server resolves the deadlock and the batch is retried below.
        ready.sort_unstable_by(|one, other| one.call.transition.device().id().cmp(other.call.transition.device().id()));
        let max_wait = worker.server_timeout();
        match save(worker, &ready).await {
            Ok(outcomes) => {
                for (queued, outcome) in ready.into_iter().zip(outcomes) {
                    match outcome {
                        RowOutcome::Done(outcome) => queued.complete(outcome),
                        RowOutcome::Locked => queued.hold(max_wait, batch),
                    }
                }
            }
            Err(error) if ready.len() > 1 && is_of_one_row(&error) => retry_one_by_one(worker, ready, batch).await,
            Err(error) if ready.len() == 1 => ready.into_iter().zip([error]).for_each(|(one, error)| {
                one.fail(error, max_wait, batch);
            }),
            Err(error) => {
                let errors = shared(EngineError::from(error).into());
                ready.into_iter().zip(errors).for_each(|(queued, error)| queued.complete(Err(error.into())));
            }
        }
    }
}

/// Whether nothing was saved because of an invalid row, a deadlock or a lock timeout. The saves are then retried row by
/// row, so that only the affected callers receive the error.
fn is_of_one_row(error: &StatementError) -> bool {
    matches!(
        error,
        StatementError::RolledBack(_)
            | StatementError::Failed(
                EngineError::UniqueViolation { .. }
                    | EngineError::ForeignKeyViolation { .. }
                    | EngineError::Storage(StorageError::Fault(_))
            )
    )
}

/// Saves a batch. Returns the outcomes in the order of the batch.
async fn save(worker: &mut BatchWorker<PgConn>, batch: &[QueuedCall<Save>]) -> Result<Vec<RowOutcome>, StatementError> {
    let statement = SaveBatch::of(batch.iter().map(|queued| &queued.call.transition));
    // All rows are loaded: an error of the commit arrives after the last row.
    let rows = worker.run(async |connection| statement.load::<(String, i16)>(connection).await).await?;
    let outcomes: HashMap<String, i16> = rows.into_iter().collect();
    let of = |queued: &QueuedCall<Save>| outcomes.get(queued.call.transition.device().id().as_str()).copied();
    Ok(batch.iter().map(|queued| RowOutcome::read(of(queued))).collect())
}

/// Removes the saves from a batch that can go into one statement: at most one per device and per code, and none that waits
/// for a locked row. The others wait until these are saved, as they would in the database.
fn take_ready(batch: &mut Vec<QueuedCall<Save>>) -> Vec<QueuedCall<Save>> {
    let now = Instant::now();
    let (mut devices, mut codes) = (HashSet::new(), HashSet::new());
    let (mut ready, mut later) = (Vec::with_capacity(batch.len().min(Save::BATCH)), Vec::new());
    for queued in batch.drain(..) {
        let record = queued.call.transition.device().record();
        let is_first = ready.len() < Save::BATCH
            && queued.is_ready(now)
            && devices.insert(record.id)
            && record.pairing_code.is_none_or(|code| codes.insert(code));
        if is_first { ready.push(queued) } else { later.push(queued) }
    }
    *batch = later;
    ready
}

/// Saves the calls one by one. Cancelled calls are skipped, and an unavailable database is tried once. After the second
/// lock timeout, which indicates a lock on the whole table, the remaining saves are held for a retry.
async fn retry_one_by_one(
    worker: &mut BatchWorker<PgConn>,
    ready: Vec<QueuedCall<Save>>,
    batch: &mut Vec<QueuedCall<Save>>,
) {
    let max_wait = worker.server_timeout();
    let mut rolled_back = 0;
    let mut queued = ready.into_iter().filter(|queued| !queued.reply.is_closed());
    while let Some(one) = queued.next() {
        if rolled_back > 1 {
            one.hold(max_wait, batch);
            continue;
        }
        match save(worker, std::slice::from_ref(&one)).await.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(RowOutcome::Locked) | None) => one.hold(max_wait, batch),
            Ok(Some(RowOutcome::Done(outcome))) => one.complete(outcome),
            Err(StatementError::Failed(EngineError::Storage(error @ StorageError::Unavailable(_)))) => {
                let all = std::iter::once(one).chain(queued);
                all.zip(shared(error)).for_each(|(one, error)| one.complete(Err(error.into())));
                return;
            }
            Err(error) => {
                rolled_back += usize::from(matches!(error, StatementError::RolledBack(_)));
                one.fail(error, max_wait, batch);
            }
        }
    }
}
