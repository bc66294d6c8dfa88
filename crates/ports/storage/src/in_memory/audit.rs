//! In-memory fake of the audit trail and its checkpoints.

use crate::in_memory::AuditPosition;
use crate::in_memory::within;
use crate::shared::TimeRange;
use async_trait::async_trait;
use pos_domain::audit::{AuditEvent, AuditedRow, Checkpoint, CheckpointEntry, Subject};
use time::OffsetDateTime;

use crate::InMemoryStore;
use crate::audit::{
    AuditTrail, CHECKPOINT_WINDOW, CheckpointOutcome, CheckpointedEvent, StoredAuditEvent, StoredEntry,
};
use crate::in_memory::max_rows;
use crate::shared::StorageError;

#[async_trait]
impl AuditTrail for InMemoryStore {
    async fn append_checkpoint(&self, at: OffsetDateTime, at_most: u32) -> Result<CheckpointOutcome, StorageError> {
        let mut tables = self.tables();
        let last = tables.last_checkpoint();
        let from = last.covered_through().saturating_sub(CHECKPOINT_WINDOW);
        let is_covered =
            |number| tables.entries.iter().any(|(_, entry): &(u64, CheckpointEntry)| entry.number == number);
        let uncovered = tables.audit.iter().filter(|stored| stored.number > from && !is_covered(stored.number));
        let mut entries: Vec<_> = uncovered.map(StoredAuditEvent::entry).collect();
        entries.sort_by_key(|entry| entry.number);
        entries.truncate(max_rows(at_most));
        if !entries.is_empty() {
            let next = last.next(&entries, at);
            tables.checkpoints.push(next);
            tables.entries.extend(entries.iter().map(|entry| (next.sequence, *entry)));
        }
        Ok(CheckpointOutcome::Appended(entries.len() as u64))
    }

    async fn record(&self, event: &AuditEvent) -> Result<(), StorageError> {
        self.tables().insert_audit_event(event.clone());
        Ok(())
    }

    async fn checkpoints(&self, after: Option<u64>, limit: u32) -> Result<Vec<Checkpoint>, StorageError> {
        let tables = self.tables();
        let first = Checkpoint::first(0, OffsetDateTime::UNIX_EPOCH);
        let all = std::iter::once(first).chain(tables.checkpoints.iter().copied());
        Ok(all.filter(|one| after.is_none_or(|after| one.sequence > after)).take(max_rows(limit)).collect())
    }

    async fn entries(&self, checkpoint: u64) -> Result<Vec<StoredEntry>, StorageError> {
        let tables = self.tables();
        let own = tables.entries.iter().filter(|(of, _)| *of == checkpoint).map(|(_, entry)| *entry);
        let is_present = |number| tables.audit.iter().any(|stored| stored.number == number);
        Ok(own.map(|entry| StoredEntry { entry, present: is_present(entry.number) }).collect())
    }

    async fn audit_by_number(&self, after: u64, limit: u32) -> Result<Vec<CheckpointedEvent>, StorageError> {
        let tables = self.tables();
        let mut events: Vec<_> = tables.audit.iter().filter(|stored| stored.number > after).cloned().collect();
        events.sort_by_key(|stored| stored.number);
        events.truncate(max_rows(limit));
        let digest_in_checkpoint = |number| {
            let entry = tables.entries.iter().map(|(_, entry)| entry).find(|entry| entry.number == number);
            entry.map(|entry| entry.hash)
        };
        let events = events.into_iter();
        Ok(events
            .map(|stored| CheckpointedEvent { checkpoint_hash: digest_in_checkpoint(stored.number), stored })
            .collect())
    }

    async fn audit_by_time(
        &self,
        span: &TimeRange,
        after: Option<AuditPosition>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        let tables = self.tables();
        let position = |stored: &StoredAuditEvent| AuditPosition { at: stored.event.at, number: stored.number };
        let subject = span.device_id.clone().map(Subject::Device);
        let mut events: Vec<_> = tables
            .audit
            .iter()
            .filter(|stored| within(span, stored.event.at) && after.is_none_or(|after| position(stored) > after))
            .filter(|stored| subject.is_none() || stored.event.subject == subject)
            .cloned()
            .collect();
        events.sort_by_key(position);
        events.truncate(max_rows(span.limit));
        Ok(events)
    }

    async fn audit_about(
        &self,
        subject: &Subject,
        since: Option<OffsetDateTime>,
    ) -> Result<Vec<StoredAuditEvent>, StorageError> {
        let tables = self.tables();
        let matches =
            |event: &AuditEvent| event.subject.as_ref() == Some(subject) && since.is_none_or(|since| event.at >= since);
        let matching = tables.audit.iter().filter(|stored| matches(&stored.event));
        let mut events: Vec<_> = matching.cloned().collect();
        events.sort_by_key(|stored| stored.number);
        Ok(events)
    }

    async fn audited_rows(&self) -> Result<Vec<AuditedRow>, StorageError> {
        Ok(self.tenancy().audited_rows())
    }
}
