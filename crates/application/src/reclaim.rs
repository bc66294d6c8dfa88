use std::sync::{Arc, Mutex, PoisonError};

use pos_port_clock::Clock;
use pos_port_storage::{EventMark, ReclaimBatch, Reclaimable, Reclaimed, Reclaiming, StorageError};
use time::{Duration, OffsetDateTime};

/// How long what is over is kept by the clock of whoever takes back its room: the clocks of replicas may differ by so
/// much, and none shall miss a row that is not over for it.
const CLOCKS_DIFFER: Duration = Duration::minutes(5);

/// Takes back the room of what nobody needs any more: in rounds, each of one small batch after another.
///
/// Nothing depends on it (see [`Reclaiming`]). Who drives a round may do something else between two batches, and may
/// stop after any.
pub struct Reclaim {
    store: Arc<dyn Reclaiming>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    at_most: u32,
    /// Where the last round through the events of devices ended. What lies before it has nothing to give until
    /// something later passes the cut-off. Lost with the process, which costs one longer round.
    events_through: Mutex<Option<EventMark>>,
}

/// For how long what is over is kept. What a row says itself (until when a session, a logout, an answer or an import is
/// good) is never undercut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Codes, after they ended: for so long they are told apart from codes that never were.
    pub ended_codes: Duration,
    /// Windows of failures, after they began: as long as the longest window, or longer.
    pub failures: Duration,
    /// Sessions, logouts and ended tokens, after they were over.
    pub sessions: Duration,
    /// Events of devices and what else is on record, after they happened; none: for ever.
    pub events: Option<Duration>,
}

impl Retention {
    /// Rows whose instant is at this one or earlier may go; none: no row may.
    fn cut_off(&self, what: Reclaimable, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let kept = match what {
            Reclaimable::EndedCodes => self.ended_codes,
            Reclaimable::ClaimFailures | Reclaimable::ClientFailures => self.failures,
            Reclaimable::Sessions | Reclaimable::Logouts | Reclaimable::EndedTokens => self.sessions,
            Reclaimable::Answers | Reclaimable::Imports => Duration::ZERO,
            Reclaimable::DeviceEvents | Reclaimable::AuditEvents => self.events?,
        };
        now.checked_sub(kept.max(CLOCKS_DIFFER))
    }
}

/// What one batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReclaimStep {
    /// Rows of which sort.
    pub what: Reclaimable,
    /// How many went.
    pub removed: u64,
}

/// How a batch went.
#[derive(Debug)]
pub enum ReclaimOutcome {
    /// It was done.
    Done(ReclaimStep),
    /// Another replica is at it; the round is over.
    Elsewhere,
    /// It failed, and this sort is left to the next round.
    Failed {
        /// Rows of which sort.
        what: Reclaimable,
        /// Why.
        error: StorageError,
    },
}

impl Reclaim {
    /// Takes back what `retention` allows, at most `at_most` rows (at least 1) at once.
    #[must_use]
    pub fn new(store: Arc<dyn Reclaiming>, clock: Arc<dyn Clock>, retention: Retention, at_most: u32) -> Self {
        Self { store, clock, retention, at_most: at_most.max(1), events_through: Mutex::new(None) }
    }

    /// Begins a round through every sort of rows. What is over by now is its matter, and nothing that is later.
    #[must_use]
    pub fn begin(&self) -> ReclaimRound<'_> {
        ReclaimRound { reclaim: self, now: self.clock.now(), left: Reclaimable::ALL.into_iter().peekable() }
    }

    /// How many rows of each sort a round would remove, counted up to `at_most` each. Sorts that are kept for ever are
    /// left out.
    ///
    /// # Errors
    /// Only [`StorageError`]'s own.
    pub async fn preview(&self, at_most: u32) -> Result<Vec<ReclaimStep>, StorageError> {
        let now = self.clock.now();
        let mut steps = Vec::new();
        for what in Reclaimable::ALL {
            if let Some(before) = self.retention.cut_off(what, now) {
                steps.push(ReclaimStep { what, removed: self.store.reclaimable(what, before, at_most).await? });
            }
        }
        Ok(steps)
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<EventMark>> {
        self.events_through.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A round under way.
pub struct ReclaimRound<'a> {
    reclaim: &'a Reclaim,
    now: OffsetDateTime,
    left: std::iter::Peekable<std::array::IntoIter<Reclaimable, { Reclaimable::ALL.len() }>>,
}

impl ReclaimRound<'_> {
    /// Does the next batch; none when the round is over.
    pub async fn next(&mut self) -> Option<ReclaimOutcome> {
        let (what, before) = loop {
            let what = *self.left.peek()?;
            match self.reclaim.retention.cut_off(what, self.now) {
                Some(before) => break (what, before),
                None => drop(self.left.next()),
            }
        };
        let after = if what == Reclaimable::DeviceEvents { self.reclaim.place().clone() } else { None };
        let batch = ReclaimBatch { what, before, at_most: self.reclaim.at_most, after, now: self.now };
        match self.reclaim.store.reclaim(&batch).await {
            Ok(Reclaimed::Done(done)) => {
                if what == Reclaimable::DeviceEvents {
                    *self.reclaim.place() = done.through;
                }
                if !done.more {
                    self.left.next();
                }
                Some(ReclaimOutcome::Done(ReclaimStep { what, removed: done.removed }))
            }
            Ok(Reclaimed::Elsewhere) => {
                while self.left.next().is_some() {}
                Some(ReclaimOutcome::Elsewhere)
            }
            Err(error) => {
                self.left.next();
                Some(ReclaimOutcome::Failed { what, error })
            }
        }
    }
}
