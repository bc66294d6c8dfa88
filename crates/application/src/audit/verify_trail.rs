//! Use case: verification of the administrative audit trail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pos_domain::audit::{AuditedRowKey, Checkpoint, CheckpointEntry, ExpectedRows, Facts, RowMismatch};
use pos_domain::device::SHORTEST_EVENT_RETENTION;
use pos_domain::shared::EventHash;
use pos_port_clock::Clock;
use pos_port_storage::audit::{AuditTrail, CHECKPOINT_WINDOW, CheckpointedEvent};
use pos_port_storage::shared::StorageError;
use time::Duration;

use crate::support::MAX_ATTEMPTS;

/// Events per page, and checkpoints per page.
const PAGE: u32 = 1_000;

/// Verifies the administrative trail: each event against its digest and its checkpoint entry, the chain of checkpoints, and
/// the audited rows (who owns or may do something) against the events. It only reads, and is safe while servers write.
pub struct VerifyTrail {
    trail: Arc<dyn AuditTrail>,
    clock: Arc<dyn Clock>,
}

/// A fault and where it is. `Display` is for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailFault {
    /// Fault of an event.
    Event {
        /// Number of the event.
        number: u64,
        /// The fault.
        fault: EventFault,
    },
    /// Fault of a checkpoint.
    Checkpoint {
        /// Sequence of the checkpoint.
        sequence: u64,
        /// The fault.
        fault: CheckpointFault,
    },
    /// Fault of a row that decides who owns or may do something.
    Row {
        /// Key of the row.
        key: AuditedRowKey,
        /// The fault.
        fault: RowMismatch,
    },
}

/// Fault of an administrative event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// The event differs from its digest or its checkpoint entry.
    #[error("the event was changed")]
    Altered,
    /// The event has a checkpoint entry and is missing.
    #[error("the event is missing")]
    Missing,
    /// The event has no digest.
    #[error("the event has no digest: it was written directly in the database, or by a server older than digests")]
    NoDigest,
    /// No checkpoint covers the event, although later events are covered.
    #[error("the event has no checkpoint, and later events have one: it was added afterwards")]
    Late,
}

/// Fault of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// The checkpoint or one of its entries was changed.
    #[error("the checkpoint or one of its entries was changed")]
    Altered,
    /// Checkpoints are missing, from this one to the next existing one.
    #[error("checkpoints are missing from here to {through}")]
    Missing {
        /// The last missing checkpoint.
        through: u64,
    },
}

impl fmt::Display for TrailFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { number, fault } => write!(f, "audit_events {number}: {fault}"),
            Self::Checkpoint { sequence, fault } => write!(f, "audit_checkpoints {sequence}: {fault}"),
            Self::Row { key, fault } => write!(f, "{key}: {fault}"),
        }
    }
}

/// Result of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifiedTrail {
    /// Number of verified events.
    pub events: u64,
    /// Number of these that no checkpoint covers yet.
    pub unchained: u64,
    /// Number of these that are older than digests.
    pub undigested: u64,
    /// Number of covered events that were deleted after their retention.
    pub removed: u64,
    /// Number of rows that were compared with the events.
    pub rows: u64,
}

/// Callback for faults.
pub type FaultSink<'s> = &'s mut (dyn FnMut(TrailFault) + Send);

impl VerifyTrail {
    /// Creates the use case on `trail`.
    #[must_use]
    pub(crate) fn new(trail: Arc<dyn AuditTrail>, clock: Arc<dyn Clock>) -> Self {
        Self { trail, clock }
    }

    /// Verifies everything and reports every fault.
    ///
    /// # Errors
    /// [`StorageError`]; [`StorageError::Fault`] for a row that cannot be read.
    pub async fn run(&self, faults: FaultSink<'_>) -> Result<VerifiedTrail, StorageError> {
        let mut sum = VerifiedTrail::default();
        let (start, covered_through) = self.checkpoints(&mut sum, faults).await?;
        let mut expected = ExpectedRows::default();
        let mut after = 0;
        loop {
            let page = self.trail.audit_by_number(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.stored.number;
            for one in page {
                expected.see(&one.stored.event);
                verify_event(&one, start, covered_through, &mut sum, faults);
            }
        }
        self.rows(expected, &mut sum, faults).await?;
        Ok(sum)
    }

    /// Verifies the chain of checkpoints. Returns the last number that needs no digest, and the last covered number.
    async fn checkpoints(&self, sum: &mut VerifiedTrail, faults: FaultSink<'_>) -> Result<(u64, u64), StorageError> {
        let (mut start, mut next, mut previous) = (0, 0_u64, None::<Checkpoint>);
        let mut after = None;
        loop {
            let page = self.trail.checkpoints(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            for checkpoint in page {
                let sequence = checkpoint.sequence;
                after = Some(sequence);
                if sequence > next {
                    let fault = CheckpointFault::Missing { through: sequence - 1 };
                    faults(TrailFault::Checkpoint { sequence: next, fault });
                    previous = None;
                }
                let entries = self.entries(sequence, sum, faults).await?;
                if sequence == 0 {
                    start = checkpoint.through;
                    if checkpoint.hash != EventHash([0; 32]) || !entries.is_empty() {
                        faults(TrailFault::Checkpoint { sequence, fault: CheckpointFault::Altered });
                    }
                } else if previous.is_some_and(|before| before.next(&entries, checkpoint.at) != checkpoint) {
                    faults(TrailFault::Checkpoint { sequence, fault: CheckpointFault::Altered });
                }
                next = sequence.saturating_add(1);
                previous = Some(checkpoint);
            }
        }
        if next == 0 {
            let fault = CheckpointFault::Missing { through: 0 };
            faults(TrailFault::Checkpoint { sequence: 0, fault });
        }
        Ok((start, previous.map_or(0, |last| last.covered_through())))
    }

    async fn entries(
        &self,
        checkpoint: u64,
        sum: &mut VerifiedTrail,
        faults: FaultSink<'_>,
    ) -> Result<Vec<CheckpointEntry>, StorageError> {
        // One day for clock skew.
        let oldest = self.clock.now().saturating_sub(SHORTEST_EVENT_RETENTION).saturating_add(Duration::DAY);
        let mut entries = Vec::new();
        for stored in self.trail.entries(checkpoint).await? {
            if !stored.present && stored.entry.at < oldest {
                sum.removed += 1;
            } else if !stored.present {
                faults(TrailFault::Event { number: stored.entry.number, fault: EventFault::Missing });
            }
            entries.push(stored.entry);
        }
        Ok(entries)
    }

    /// Compares the rows with the events. Mismatches are read again until their rows did not change meanwhile.
    async fn rows(
        &self,
        expected: ExpectedRows,
        sum: &mut VerifiedTrail,
        faults: FaultSink<'_>,
    ) -> Result<(), StorageError> {
        let mut rows = self.audited_rows().await?;
        sum.rows = rows.len() as u64;
        let mut mismatches: BTreeMap<AuditedRowKey, RowMismatch> = rows
            .keys()
            .chain(expected.keys())
            .filter_map(|key| Some((key.clone(), expected.compare(key, rows.get(key))?)))
            .collect();
        for _ in 0..MAX_ATTEMPTS {
            if mismatches.is_empty() {
                break;
            }
            let mut expected = BTreeMap::new();
            for key in mismatches.keys() {
                let mut about = ExpectedRows::default();
                if let Some(subject) = key.subject() {
                    self.trail.audit_about(&subject, None).await?.iter().for_each(|stored| about.see(&stored.event));
                }
                expected.insert(key.clone(), about);
            }
            let now = self.audited_rows().await?;
            let mut changed = BTreeMap::new();
            for (key, _) in std::mem::take(&mut mismatches) {
                let fault = expected.get(&key).and_then(|expected| expected.compare(&key, now.get(&key)));
                match fault {
                    Some(fault) if now.get(&key) == rows.get(&key) => faults(TrailFault::Row { key, fault }),
                    Some(fault) => drop(changed.insert(key, fault)),
                    None => {}
                }
            }
            (mismatches, rows) = (changed, now);
        }
        mismatches.into_iter().for_each(|(key, fault)| faults(TrailFault::Row { key, fault }));
        Ok(())
    }

    async fn audited_rows(&self) -> Result<BTreeMap<AuditedRowKey, Facts>, StorageError> {
        let rows = self.trail.audited_rows().await?;
        Ok(rows.into_iter().map(|row| (row.key, row.facts)).collect())
    }
}

fn verify_event(
    one: &CheckpointedEvent,
    start: u64,
    covered_through: u64,
    sum: &mut VerifiedTrail,
    faults: FaultSink<'_>,
) {
    let number = one.stored.number;
    sum.events += 1;
    let digest = one.stored.event.digest();
    let differs = |stored: Option<EventHash>| stored.is_some_and(|stored| stored != digest);
    let fault = if differs(one.stored.hash) || differs(one.checkpoint_hash) {
        Some(EventFault::Altered)
    } else if one.stored.hash.is_none() && number > start {
        Some(EventFault::NoDigest)
    } else if one.checkpoint_hash.is_none() && number.saturating_add(CHECKPOINT_WINDOW) < covered_through {
        Some(EventFault::Late)
    } else {
        None
    };
    if one.checkpoint_hash.is_none() {
        sum.unchained += 1;
    }
    if one.stored.hash.is_none() && number <= start {
        sum.undigested += 1;
    }
    if let Some(fault) = fault {
        faults(TrailFault::Event { number, fault });
    }
}
