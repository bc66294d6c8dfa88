use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use diesel_async::RunQueryDsl;
use pos_domain::Transition;
use pos_port_storage::{SaveError, StorageError};

use super::super::connection::PgManager;
use super::super::link::PgLink;
use super::super::save::SaveTransition;
use super::super::saved;
use super::lane::{Lane, Trouble};
use super::save_many::{Outcome, SaveMany};
use super::{Gather, Lanes, Waiting};
use crate::storage::failure::{Failure, shared};

/// Saves of transitions. Each keeps its own condition and has its own outcome; an answer is given only after the commit.
pub(in super::super) struct Saves(Lanes<Save>);

struct Save(Transition);

impl Saves {
    pub(in super::super) fn new(opener: Arc<PgManager>) -> Self {
        Self(Lanes::new(opener))
    }

    pub(in super::super) async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.0.call(Save(transition.clone())).await?
    }
}

impl Gather for Save {
    type Answer = Result<(), SaveError>;
    type Link = PgLink;
    const BATCH: usize = 128;

    async fn serve(lane: &mut Lane<PgLink>, batch: &mut Vec<Waiting<Self>>) {
        let mut now = take_compatible(batch);
        if let [_] = now.as_slice() {
            one_by_one(lane, now).await;
            return;
        }
        // Rows are mostly locked in the order in which they are given, so that two lanes with some of the same wait for
        // each other and not in a circle. Where the plan has it otherwise, the server breaks the circle: below.
        now.sort_unstable_by(|one, other| one.call.0.device().id().cmp(other.call.0.device().id()));
        let statement = SaveMany::of(now.iter().map(|waiting| &waiting.call.0));
        let outcome = lane.run(async |connection| statement.load::<(String, i16)>(connection).await).await;
        match outcome {
            Ok(rows) => {
                let outcomes: HashMap<String, i16> = rows.into_iter().collect();
                for waiting in now {
                    let told = outcomes.get(waiting.call.0.device().id().as_str()).copied();
                    waiting.answer(Outcome::read(told));
                }
            }
            // Nothing of the statement was kept. One of them may be what the database cannot stomach, or two lanes met:
            // only those whom it concerns are to hear of it.
            Err(
                Trouble::RolledBack(_)
                | Trouble::Failed(
                    Failure::Taken { .. } | Failure::Missing { .. } | Failure::Storage(StorageError::Fault(_)),
                ),
            ) => {
                one_by_one(lane, now).await;
            }
            Err(trouble) => {
                let errors = shared(Failure::from(trouble).into());
                now.into_iter().zip(errors).for_each(|(waiting, error)| waiting.answer(Err(error.into())));
            }
        }
    }
}

/// Takes out of a batch what can go in one statement: a device once, a code once. The rest waits for what becomes of
/// these, which is what it would have done in the database.
fn take_compatible(batch: &mut Vec<Waiting<Save>>) -> Vec<Waiting<Save>> {
    let (mut devices, mut codes) = (HashSet::new(), HashSet::new());
    let (mut now, mut later) = (Vec::with_capacity(batch.len()), Vec::new());
    for waiting in batch.drain(..) {
        let record = waiting.call.0.device().record();
        let is_first = devices.insert(record.id) && record.pairing_code.is_none_or(|code| codes.insert(code));
        if is_first { now.push(waiting) } else { later.push(waiting) }
    }
    *batch = later;
    now
}

/// Those who left meanwhile are left out, and a database that went away is asked once.
async fn one_by_one(lane: &mut Lane<PgLink>, batch: Vec<Waiting<Save>>) {
    let mut waiting = batch.into_iter().filter(|waiting| !waiting.reply.is_closed());
    while let Some(one) = waiting.next() {
        let statement = SaveTransition::from(&one.call.0);
        // All rows, so that what the commit says is heard.
        let outcome = lane.run(async |connection| statement.load::<i64>(connection).await).await;
        match outcome.map_err(Failure::from) {
            Err(Failure::Storage(error @ StorageError::Unavailable(_))) => {
                let errors = shared(error);
                std::iter::once(one).chain(waiting).zip(errors).for_each(|(one, error)| one.answer(Err(error.into())));
                return;
            }
            outcome => one.answer(saved(outcome.map(|changed| changed.into_iter().sum()))),
        }
    }
}
