use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pos_domain::{
    Checkpoint, EventHash, Facts, HoldingFault, HoldingKey, HoldingsInTrail, SHORTEST_EVENT_RETENTION, Seal,
};
use pos_port_clock::Clock;
use pos_port_storage::{AuditTrail, SEAL_WINDOW, SealedEvent, StorageError};
use time::Duration;

use crate::MAX_ATTEMPTS;

/// How many events, and how many checkpoints, are in memory at once.
const PAGE: u32 = 1_000;

/// Verifies the administrative trail: each event against its digest and its seal, the chain of checkpoints, and the rows
/// that decide who owns or may do something against the events. It only reads. Safe while servers write.
pub struct VerifyTrail {
    trail: Arc<dyn AuditTrail>,
    clock: Arc<dyn Clock>,
}

/// What is wrong, and where. `Display` is for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrailFault {
    /// An event.
    Event {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        fault: EventFault,
    },
    /// A checkpoint.
    Checkpoint {
        /// Its sequence.
        sequence: u64,
        /// What is wrong with it.
        fault: CheckpointFault,
    },
    /// A row that decides who owns or may do something.
    Row {
        /// Which.
        key: HoldingKey,
        /// What is wrong with it.
        fault: HoldingFault,
    },
}

/// What is wrong with an administrative event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// It is not what it was when it was written or sealed.
    #[error("the event was changed")]
    Altered,
    /// It was sealed and is missing.
    #[error("the event is missing")]
    Missing,
    /// It has no digest.
    #[error("the event has no digest: a hand at the database, or a server older than digests, wrote it")]
    NoDigest,
    /// It is in no checkpoint, and later events are.
    #[error("the event is in no checkpoint, and later ones are: it was added out of its time")]
    Late,
}

/// What is wrong with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// It, or a seal of it, is not what it was.
    #[error("the checkpoint or one of its seals was changed")]
    Altered,
    /// Checkpoints are missing from this one on, up to the next that is there.
    #[error("checkpoints are missing from here to {through}")]
    Missing {
        /// The last that is missing.
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

/// What came of a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerifiedTrail {
    /// How many events were looked at.
    pub events: u64,
    /// How many of these are in no checkpoint yet.
    pub unsealed: u64,
    /// How many of these are older than digests.
    pub undigested: u64,
    /// How many sealed events were removed after their retention.
    pub removed: u64,
    /// How many rows were compared with the events.
    pub rows: u64,
}

/// Where faults are reported, one by one.
pub type FaultSink<'s> = &'s mut (dyn FnMut(TrailFault) + Send);

impl VerifyTrail {
    /// Verifies what `trail` holds.
    #[must_use]
    pub fn new(trail: Arc<dyn AuditTrail>, clock: Arc<dyn Clock>) -> Self {
        Self { trail, clock }
    }

    /// Verifies everything and reports every fault.
    ///
    /// # Errors
    /// [`StorageError`]; a row that cannot be read is [`StorageError::Fault`].
    pub async fn run(&self, faults: FaultSink<'_>) -> Result<VerifiedTrail, StorageError> {
        let mut sum = VerifiedTrail::default();
        let (start, sealed_through) = self.checkpoints(&mut sum, faults).await?;
        let mut said = HoldingsInTrail::default();
        let mut after = 0;
        loop {
            let page = self.trail.audit_by_number(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.kept.number;
            for one in page {
                said.see(&one.kept.event);
                event(&one, start, sealed_through, &mut sum, faults);
            }
        }
        self.rows(said, &mut sum, faults).await?;
        Ok(sum)
    }

    /// Follows the chain of checkpoints. Returns the last number that needs no digest, and the last that is sealed.
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
                let seals = self.seals(sequence, sum, faults).await?;
                if sequence == 0 {
                    start = checkpoint.through;
                    if checkpoint.hash != EventHash([0; 32]) || !seals.is_empty() {
                        faults(TrailFault::Checkpoint { sequence, fault: CheckpointFault::Altered });
                    }
                } else if previous.is_some_and(|before| before.next(&seals, checkpoint.at) != checkpoint) {
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
        Ok((start, previous.map_or(0, |last| last.sealed_through())))
    }

    async fn seals(
        &self,
        checkpoint: u64,
        sum: &mut VerifiedTrail,
        faults: FaultSink<'_>,
    ) -> Result<Vec<Seal>, StorageError> {
        // A day for clocks that differ.
        let oldest = self.clock.now().saturating_sub(SHORTEST_EVENT_RETENTION).saturating_add(Duration::DAY);
        let mut seals = Vec::new();
        for kept in self.trail.seals(checkpoint).await? {
            if !kept.present && kept.seal.at < oldest {
                sum.removed += 1;
            } else if !kept.present {
                faults(TrailFault::Event { number: kept.seal.number, fault: EventFault::Missing });
            }
            seals.push(kept.seal);
        }
        Ok(seals)
    }

    /// Compares the rows with what the events say. What differs is read again until the row stood still meanwhile.
    async fn rows(
        &self,
        said: HoldingsInTrail,
        sum: &mut VerifiedTrail,
        faults: FaultSink<'_>,
    ) -> Result<(), StorageError> {
        let mut rows = self.holdings().await?;
        sum.rows = rows.len() as u64;
        let mut suspects: BTreeMap<HoldingKey, HoldingFault> = rows
            .keys()
            .chain(said.keys())
            .filter_map(|key| Some((key.clone(), said.compare(key, rows.get(key))?)))
            .collect();
        for _ in 0..MAX_ATTEMPTS {
            if suspects.is_empty() {
                break;
            }
            let mut said = BTreeMap::new();
            for key in suspects.keys() {
                let mut about = HoldingsInTrail::default();
                if let Some(subject) = key.subject() {
                    self.trail.audit_about(&subject, None).await?.iter().for_each(|kept| about.see(&kept.event));
                }
                said.insert(key.clone(), about);
            }
            let now = self.holdings().await?;
            let mut moved = BTreeMap::new();
            for (key, _) in std::mem::take(&mut suspects) {
                let fault = said.get(&key).and_then(|said| said.compare(&key, now.get(&key)));
                match fault {
                    Some(fault) if now.get(&key) == rows.get(&key) => faults(TrailFault::Row { key, fault }),
                    Some(fault) => drop(moved.insert(key, fault)),
                    None => {}
                }
            }
            (suspects, rows) = (moved, now);
        }
        suspects.into_iter().for_each(|(key, fault)| faults(TrailFault::Row { key, fault }));
        Ok(())
    }

    async fn holdings(&self) -> Result<BTreeMap<HoldingKey, Facts>, StorageError> {
        let rows = self.trail.holdings().await?;
        Ok(rows.into_iter().map(|holding| (holding.key, holding.facts)).collect())
    }
}

fn event(one: &SealedEvent, start: u64, sealed_through: u64, sum: &mut VerifiedTrail, faults: FaultSink<'_>) {
    let number = one.kept.number;
    sum.events += 1;
    let digest = one.kept.event.digest();
    let differs = |kept: Option<EventHash>| kept.is_some_and(|kept| kept != digest);
    let fault = if differs(one.kept.hash) || differs(one.sealed) {
        Some(EventFault::Altered)
    } else if one.kept.hash.is_none() && number > start {
        Some(EventFault::NoDigest)
    } else if one.sealed.is_none() && number.saturating_add(SEAL_WINDOW) < sealed_through {
        Some(EventFault::Late)
    } else {
        None
    };
    if one.sealed.is_none() {
        sum.unsealed += 1;
    }
    if one.kept.hash.is_none() && number <= start {
        sum.undigested += 1;
    }
    if let Some(fault) = fault {
        faults(TrailFault::Event { number, fault });
    }
}
