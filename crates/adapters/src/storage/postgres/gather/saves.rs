//! Batched saves of transitions. Each keeps its own condition and has its own outcome; an answer is given, and those who
//! wait are notified, only after the commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use diesel_async::RunQueryDsl;
use pos_domain::Transition;
use pos_port_storage::{SaveError, StorageError};
use tokio::time::{Instant, sleep_until};

use super::super::changes::Changes;
use super::super::connection::PgManager;
use super::super::link::PgLink;
use super::super::saved;
use super::lane::{Lane, Trouble};
use super::save_many::{Outcome, SaveMany};
use super::{Gather, Lanes, Waiting};
use crate::storage::failure::{Failure, TooSlow, shared};

/// After which pause a row that another transaction holds is tried again: doubled from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(160));

/// How long a batch in which nothing is ready waits before it takes in what has arrived.
const REST: Duration = Duration::from_millis(5);

/// How many saves of one lane may wait for their rows at once.
const MOST_HELD: usize = 1_024;

pub(in super::super) struct Saves {
    lanes: Lanes<Save>,
    changes: Arc<Changes>,
}

struct Save {
    transition: Transition,
    changes: Arc<Changes>,
    held: Option<Held>,
}

/// How a save waits for its row, or for a lock on the whole table.
struct Held {
    next: Instant,
    pause: Duration,
    until: Instant,
}

impl Saves {
    pub(in super::super) fn new(opener: Arc<PgManager>, changes: Arc<Changes>) -> Self {
        Self { lanes: Lanes::new(opener), changes }
    }

    pub(in super::super) async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        let (transition, changes) = (transition.clone(), Arc::clone(&self.changes));
        self.lanes.call(Save { transition, changes, held: None }).await?
    }
}

impl Waiting<Save> {
    /// Notifies and answers. Here, for the caller may be gone.
    fn end(self, outcome: Result<(), SaveError>) {
        self.call.changes.after_save(&self.call.transition, &outcome);
        self.answer(outcome);
    }

    /// Holds it if its statement was rolled back, and answers otherwise.
    fn fail(self, trouble: Trouble, patience: Duration, batch: &mut Vec<Self>) {
        match trouble {
            Trouble::RolledBack(_) => self.hold(patience, batch),
            trouble => self.end(saved(Err(trouble.into()))),
        }
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.call.held.as_ref().is_none_or(|held| held.next <= now)
    }

    /// Leaves it to be tried again in a while, or gives it up when it has waited as long as a statement may.
    fn hold(mut self, patience: Duration, batch: &mut Vec<Self>) {
        let now = Instant::now();
        let (pause, until) = match &self.call.held {
            Some(held) => (held.pause.saturating_mul(2).min(PAUSES.1), held.until),
            None => (PAUSES.0, now + patience),
        };
        if now < until && batch.len() < MOST_HELD {
            self.call.held = Some(Held { next: (now + pause).min(until), pause, until });
            batch.push(self);
        } else {
            let what = "waiting for the row of a device";
            self.answer(Err(StorageError::from(Failure::unavailable(TooSlow { what, limit: patience })).into()));
        }
    }
}

impl Gather for Save {
    type Answer = Result<(), SaveError>;
    type Link = PgLink;
    const BATCH: usize = 128;

    async fn serve(lane: &mut Lane<PgLink>, batch: &mut Vec<Waiting<Self>>) {
        let mut now = take_ready(batch);
        if now.is_empty() {
            let next = batch.iter().filter_map(|waiting| Some(waiting.call.held.as_ref()?.next)).min();
            let rest = Instant::now() + REST;
            sleep_until(next.map_or(rest, |next| next.min(rest))).await;
            return;
        }
        // Unique indexes are waited for in one order, so that two lanes with some of the same codes do not wait for each
        // other in a circle. Where the plan has it otherwise, the server breaks the circle: below.
        now.sort_unstable_by(|one, other| one.call.transition.device().id().cmp(other.call.transition.device().id()));
        let patience = lane.server_timeout();
        match save(lane, &now).await {
            Ok(outcomes) => {
                for (waiting, outcome) in now.into_iter().zip(outcomes) {
                    match outcome {
                        Outcome::Done(outcome) => waiting.end(outcome),
                        Outcome::Locked => waiting.hold(patience, batch),
                    }
                }
            }
            Err(trouble) if now.len() > 1 && is_of_one_row(&trouble) => one_by_one(lane, now, batch).await,
            Err(trouble) if now.len() == 1 => now.into_iter().zip([trouble]).for_each(|(one, trouble)| {
                one.fail(trouble, patience, batch);
            }),
            Err(trouble) => {
                let errors = shared(Failure::from(trouble).into());
                now.into_iter().zip(errors).for_each(|(waiting, error)| waiting.end(Err(error.into())));
            }
        }
    }
}

/// Whether nothing of the statement was saved, because of a row that the database refuses, a deadlock, or a lock that was
/// waited for too long. Row by row only the affected callers hear of it.
fn is_of_one_row(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::RolledBack(_)
            | Trouble::Failed(
                Failure::Taken { .. } | Failure::Missing { .. } | Failure::Storage(StorageError::Fault(_))
            )
    )
}

/// Saves what can be saved; answers the outcomes in the order of the batch.
async fn save(lane: &mut Lane<PgLink>, batch: &[Waiting<Save>]) -> Result<Vec<Outcome>, Trouble> {
    let statement = SaveMany::of(batch.iter().map(|waiting| &waiting.call.transition));
    // All rows, so that what the commit says is heard.
    let rows = lane.run(async |connection| statement.load::<(String, i16)>(connection).await).await?;
    let outcomes: HashMap<String, i16> = rows.into_iter().collect();
    let of = |waiting: &Waiting<Save>| outcomes.get(waiting.call.transition.device().id().as_str()).copied();
    Ok(batch.iter().map(|waiting| Outcome::read(of(waiting))).collect())
}

/// Takes out of a batch what can go in one statement: a device once, a code once, and none that waits for its row. The
/// rest waits for what becomes of these, which is what it would have done in the database.
fn take_ready(batch: &mut Vec<Waiting<Save>>) -> Vec<Waiting<Save>> {
    let instant = Instant::now();
    let (mut devices, mut codes) = (HashSet::new(), HashSet::new());
    let (mut now, mut later) = (Vec::with_capacity(batch.len().min(Save::BATCH)), Vec::new());
    for waiting in batch.drain(..) {
        let record = waiting.call.transition.device().record();
        let is_first = now.len() < Save::BATCH
            && waiting.is_ready(instant)
            && devices.insert(record.id)
            && record.pairing_code.is_none_or(|code| codes.insert(code));
        if is_first { now.push(waiting) } else { later.push(waiting) }
    }
    *batch = later;
    now
}

/// Those who left meanwhile are left out, and a database that went away is asked once. After the second lock that is
/// waited for too long, which then is one on the whole table, the rest waits for its next turn.
async fn one_by_one(lane: &mut Lane<PgLink>, now: Vec<Waiting<Save>>, batch: &mut Vec<Waiting<Save>>) {
    let patience = lane.server_timeout();
    let mut rolled_back = 0;
    let mut waiting = now.into_iter().filter(|waiting| !waiting.reply.is_closed());
    while let Some(one) = waiting.next() {
        if rolled_back > 1 {
            one.hold(patience, batch);
            continue;
        }
        match save(lane, std::slice::from_ref(&one)).await.map(|mut outcomes| outcomes.pop()) {
            Ok(Some(Outcome::Locked) | None) => one.hold(patience, batch),
            Ok(Some(Outcome::Done(outcome))) => one.end(outcome),
            Err(Trouble::Failed(Failure::Storage(error @ StorageError::Unavailable(_)))) => {
                let all = std::iter::once(one).chain(waiting);
                all.zip(shared(error)).for_each(|(one, error)| one.end(Err(error.into())));
                return;
            }
            Err(trouble) => {
                rolled_back += usize::from(matches!(trouble, Trouble::RolledBack(_)));
                one.fail(trouble, patience, batch);
            }
        }
    }
}
