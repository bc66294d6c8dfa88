//! Use case: purge of expired rows.

use std::sync::{Arc, Mutex, PoisonError};

use pos_port_clock::Clock;
use pos_port_storage::audit::{ExpiredKind, PurgeBatch, Purged, RetentionRepository};
use pos_port_storage::device::EventPosition;
use pos_port_storage::shared::StorageError;
use time::{Duration, OffsetDateTime};

/// Minimum time that an expired row is kept. The clocks of replicas may differ by this much, and no replica may miss a row
/// that has not expired for it.
const MAX_CLOCK_SKEW: Duration = Duration::minutes(5);

/// Deletes expired rows in small batches.
///
/// Nothing depends on the deletion (see [`RetentionRepository`]). The caller may pause between two batches and stop after any.
pub struct PurgeExpired {
    store: Arc<dyn RetentionRepository>,
    clock: Arc<dyn Clock>,
    retention: Retention,
    batch_size: u32,
    /// Where the last run through the device events ended. Earlier events have nothing to delete until a later one passes the
    /// cut-off. Lost with the process, which costs one longer run.
    event_position: Mutex<Option<EventPosition>>,
}

/// Retention periods. A row that has its own expiry (a session, a logout, an idempotency key, an import) is never deleted
/// earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Past codes, after they ended: during this time they are distinguished from unknown codes.
    pub past_codes: Duration,
    /// Failure windows, after they began: at least the longest window.
    pub failures: Duration,
    /// Sessions, logouts and revoked tokens, after they ended.
    pub sessions: Duration,
    /// Device events and other audit events, after they were recorded; `None` is for ever.
    pub events: Option<Duration>,
}

impl Retention {
    /// Latest time of rows that may be deleted; `None` if no row may.
    fn cut_off(&self, what: ExpiredKind, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let period = match what {
            ExpiredKind::PastCodes => self.past_codes,
            ExpiredKind::ClaimFailures | ExpiredKind::ClientFailures => self.failures,
            ExpiredKind::Sessions | ExpiredKind::Logouts | ExpiredKind::RevokedTokens => self.sessions,
            ExpiredKind::Idempotency | ExpiredKind::Imports => Duration::ZERO,
            ExpiredKind::DeviceEvents | ExpiredKind::AuditEvents => self.events?,
        };
        now.checked_sub(period.max(MAX_CLOCK_SKEW))
    }
}

/// Result of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeStep {
    /// Kind of the rows.
    pub what: ExpiredKind,
    /// Number of deleted rows.
    pub removed: u64,
}

/// Outcome of one batch.
#[derive(Debug)]
pub enum PurgeOutcome {
    /// The batch was done.
    Done(PurgeStep),
    /// Another replica is purging; the run has ended.
    Busy,
    /// The batch failed; this kind is left to the next run.
    Failed {
        /// Kind of the rows.
        what: ExpiredKind,
        /// The error.
        error: StorageError,
    },
}

impl PurgeExpired {
    /// Creates the use case; a batch has at most `batch_size` rows (at least 1).
    #[must_use]
    pub(crate) fn new(
        store: Arc<dyn RetentionRepository>,
        clock: Arc<dyn Clock>,
        retention: Retention,
        batch_size: u32,
    ) -> Self {
        Self { store, clock, retention, batch_size: batch_size.max(1), event_position: Mutex::new(None) }
    }

    /// Starts a run through every kind of rows. It deletes the rows that have expired by now.
    #[must_use]
    pub fn begin(&self) -> PurgeRun<'_> {
        PurgeRun { purge: self, now: self.clock.now(), remaining: ExpiredKind::ALL.into_iter().peekable() }
    }

    /// Counts the rows of each kind that a run would delete, up to `limit` each. Kinds that are kept for ever are left out.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn preview(&self, limit: u32) -> Result<Vec<PurgeStep>, StorageError> {
        let now = self.clock.now();
        let mut steps = Vec::new();
        for what in ExpiredKind::ALL {
            if let Some(before) = self.retention.cut_off(what, now) {
                steps.push(PurgeStep { what, removed: self.store.count_expired(what, before, limit).await? });
            }
        }
        Ok(steps)
    }

    fn event_position(&self) -> std::sync::MutexGuard<'_, Option<EventPosition>> {
        self.event_position.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run in progress.
pub struct PurgeRun<'a> {
    purge: &'a PurgeExpired,
    now: OffsetDateTime,
    remaining: std::iter::Peekable<std::array::IntoIter<ExpiredKind, { ExpiredKind::ALL.len() }>>,
}

impl PurgeRun<'_> {
    /// Purges the next batch; `None` at the end of the run.
    pub async fn next(&mut self) -> Option<PurgeOutcome> {
        let (what, before) = loop {
            let what = *self.remaining.peek()?;
            match self.purge.retention.cut_off(what, self.now) {
                Some(before) => break (what, before),
                None => drop(self.remaining.next()),
            }
        };
        let after = if what == ExpiredKind::DeviceEvents { self.purge.event_position().clone() } else { None };
        let batch = PurgeBatch { what, before, at_most: self.purge.batch_size, after, now: self.now };
        match self.purge.store.purge(&batch).await {
            Ok(Purged::Done(done)) => {
                if what == ExpiredKind::DeviceEvents {
                    *self.purge.event_position() = done.through;
                }
                if !done.more {
                    self.remaining.next();
                }
                Some(PurgeOutcome::Done(PurgeStep { what, removed: done.removed }))
            }
            Ok(Purged::Busy) => {
                while self.remaining.next().is_some() {}
                Some(PurgeOutcome::Busy)
            }
            Err(error) => {
                self.remaining.next();
                Some(PurgeOutcome::Failed { what, error })
            }
        }
    }
}
