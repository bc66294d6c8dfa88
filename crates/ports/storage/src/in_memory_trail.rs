//! The fake's checkpoints over the administrative trail.

use async_trait::async_trait;
use pos_domain::{AuditEvent, Checkpoint, Holding, Seal, Subject};
use time::OffsetDateTime;

use crate::in_memory::most;
use crate::{AuditTrail, InMemoryStore, KeptAuditEvent, KeptSeal, SEAL_WINDOW, Sealed, SealedEvent, StorageError};

#[async_trait]
impl AuditTrail for InMemoryStore {
    async fn seal(&self, at: OffsetDateTime, at_most: u32) -> Result<Sealed, StorageError> {
        let mut tables = self.tables();
        let last = tables.last_checkpoint();
        let from = last.sealed_through().saturating_sub(SEAL_WINDOW);
        let is_sealed = |number| tables.seals.iter().any(|(_, seal): &(u64, Seal)| seal.number == number);
        let unsealed = tables.audit.iter().filter(|kept| kept.number > from && !is_sealed(kept.number));
        let mut seals: Vec<_> = unsealed.map(KeptAuditEvent::seal).collect();
        seals.sort_by_key(|seal| seal.number);
        seals.truncate(most(at_most));
        if !seals.is_empty() {
            let next = last.next(&seals, at);
            tables.checkpoints.push(next);
            tables.seals.extend(seals.iter().map(|seal| (next.sequence, *seal)));
        }
        Ok(Sealed::Done(seals.len() as u64))
    }

    async fn tell(&self, event: &AuditEvent) -> Result<(), StorageError> {
        self.tables().tell(event.clone());
        Ok(())
    }

    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<Checkpoint>, StorageError> {
        let tables = self.tables();
        let first = Checkpoint::first(0, OffsetDateTime::UNIX_EPOCH);
        let all = std::iter::once(first).chain(tables.checkpoints.iter().copied());
        Ok(all.filter(|one| after.is_none_or(|after| one.sequence > after)).take(most(limit)).collect())
    }

    async fn seals(&self, checkpoint: u64) -> Result<Vec<KeptSeal>, StorageError> {
        let tables = self.tables();
        let own = tables.seals.iter().filter(|(of, _)| *of == checkpoint).map(|(_, seal)| *seal);
        let is_there = |number| tables.audit.iter().any(|kept| kept.number == number);
        Ok(own.map(|seal| KeptSeal { seal, present: is_there(seal.number) }).collect())
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<SealedEvent>, StorageError> {
        let tables = self.tables();
        let mut events: Vec<_> = tables.audit.iter().filter(|kept| kept.number > after).cloned().collect();
        events.sort_by_key(|kept| kept.number);
        events.truncate(most(limit));
        let sealed = |number| tables.seals.iter().find(|(_, seal)| seal.number == number).map(|(_, seal)| seal.hash);
        Ok(events.into_iter().map(|kept| SealedEvent { sealed: sealed(kept.number), kept }).collect())
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<KeptAuditEvent>, StorageError> {
        let tables = self.tables();
        let about =
            |event: &AuditEvent| event.subject.as_ref() == Some(subject) && since.is_none_or(|since| event.at >= since);
        let about = tables.audit.iter().filter(|kept| about(&kept.event));
        let mut events: Vec<_> = about.cloned().collect();
        events.sort_by_key(|kept| kept.number);
        Ok(events)
    }

    async fn holdings(&self) -> Result<Vec<Holding>, StorageError> {
        Ok(self.tenancy().holdings())
    }
}
