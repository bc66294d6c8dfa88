//! Use case: export of the audit trail in the order of time.

use std::collections::VecDeque;
use std::sync::Arc;

use pos_domain::device::DeviceEvent;
use pos_port_storage::audit::{AuditPosition, AuditTrail, StoredAuditEvent};
use pos_port_storage::device::{DeviceEventLog, EventPosition};
use pos_port_storage::shared::{StorageError, TimeRange};
use time::OffsetDateTime;

/// Reads the whole audit trail in the order of time, page by page: at most two pages are in memory.
pub struct ExportAudit {
    events: Arc<dyn DeviceEventLog>,
    trail: Arc<dyn AuditTrail>,
}

/// One entry of the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEntry {
    /// A device event.
    Device(DeviceEvent),
    /// Any other audit event.
    Other(StoredAuditEvent),
}

impl AuditEntry {
    /// Time of the event.
    #[must_use]
    pub fn at(&self) -> OffsetDateTime {
        match self {
            Self::Device(event) => event.at,
            Self::Other(stored) => stored.event.at,
        }
    }
}

/// An export in progress. Each page starts after the last entry that was read, not at an offset, so concurrently recorded
/// entries cause neither repeated nor missing ones.
pub struct AuditExport {
    log: Arc<dyn DeviceEventLog>,
    trail: Arc<dyn AuditTrail>,
    range: TimeRange,
    events: PagedStream<DeviceEvent, EventPosition>,
    others: PagedStream<StoredAuditEvent, AuditPosition>,
}

/// One of the two streams: the buffered page, and the position of the next.
struct PagedStream<T, M> {
    buffered: VecDeque<T>,
    after: Option<M>,
    at_end: bool,
}

impl<T, M> PagedStream<T, M> {
    fn new() -> Self {
        Self { buffered: VecDeque::new(), after: None, at_end: false }
    }

    fn needs_page(&self) -> bool {
        self.buffered.is_empty() && !self.at_end
    }

    fn fill(&mut self, page: Vec<T>, limit: u32, position: impl FnOnce(&T) -> M) {
        self.at_end = (page.len() as u64) < u64::from(limit);
        if let Some(last) = page.last() {
            self.after = Some(position(last));
        }
        self.buffered = page.into();
    }
}

impl ExportAudit {
    /// Creates the use case on `events` and `trail`.
    #[must_use]
    pub(crate) fn new(events: Arc<dyn DeviceEventLog>, trail: Arc<dyn AuditTrail>) -> Self {
        Self { events, trail }
    }

    /// Starts an export of `range`, whose limit (at least 1) is the page size.
    #[must_use]
    pub fn begin(&self, range: TimeRange) -> AuditExport {
        let range = TimeRange { limit: range.limit.max(1), ..range };
        AuditExport {
            log: self.events.clone(),
            trail: self.trail.clone(),
            range,
            events: PagedStream::new(),
            others: PagedStream::new(),
        }
    }
}

impl AuditExport {
    /// Returns the next entry, `None` at the end. Of entries with the same time, device events come first.
    ///
    /// # Errors
    /// [`StorageError`]; the call may be repeated.
    pub async fn next(&mut self) -> Result<Option<AuditEntry>, StorageError> {
        if self.events.needs_page() {
            let page = self.log.events_by_time(&self.range, self.events.after.as_ref()).await?;
            self.events.fill(page, self.range.limit, |event| EventPosition {
                at: event.at,
                device_id: event.device_id.clone(),
                sequence: event.sequence,
            });
        }
        if self.others.needs_page() {
            let page = self.trail.audit_by_time(&self.range, self.others.after).await?;
            self.others
                .fill(page, self.range.limit, |stored| AuditPosition { at: stored.event.at, number: stored.number });
        }
        let device_first = match (self.events.buffered.front(), self.others.buffered.front()) {
            (Some(event), Some(stored)) => event.at <= stored.event.at,
            (event, _) => event.is_some(),
        };
        Ok(if device_first {
            self.events.buffered.pop_front().map(AuditEntry::Device)
        } else {
            self.others.buffered.pop_front().map(AuditEntry::Other)
        })
    }
}
