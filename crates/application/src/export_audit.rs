use std::collections::VecDeque;
use std::sync::Arc;

use pos_domain::DeviceEvent;
use pos_port_storage::{AuditMark, EventLog, EventMark, KeptAuditEvent, Span, StorageError};
use time::OffsetDateTime;

/// Reads the whole audit trail in the order of time, page by page: never more than two pages are in memory.
pub struct ExportAudit {
    events: Arc<dyn EventLog>,
}

/// One line of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditEntry {
    /// Something happened to a device.
    Device(DeviceEvent),
    /// Something else.
    Other(KeptAuditEvent),
}

impl AuditEntry {
    /// When.
    #[must_use]
    pub fn at(&self) -> OffsetDateTime {
        match self {
            Self::Device(event) => event.at,
            Self::Other(kept) => kept.event.at,
        }
    }
}

/// An export under way. Pages go on after the last entry that was read, not after a count of entries, so what is
/// recorded meanwhile neither repeats nor hides an entry.
pub struct AuditExport {
    log: Arc<dyn EventLog>,
    span: Span,
    events: Source<DeviceEvent, EventMark>,
    others: Source<KeptAuditEvent, AuditMark>,
}

/// One of the two streams: what was read and not yet told, and where to read on.
struct Source<T, M> {
    waiting: VecDeque<T>,
    after: Option<M>,
    dry: bool,
}

impl<T, M> Source<T, M> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), after: None, dry: false }
    }

    fn wants_more(&self) -> bool {
        self.waiting.is_empty() && !self.dry
    }

    fn fill(&mut self, page: Vec<T>, limit: u32, mark: impl FnOnce(&T) -> M) {
        self.dry = (page.len() as u64) < u64::from(limit);
        if let Some(last) = page.last() {
            self.after = Some(mark(last));
        }
        self.waiting = page.into();
    }
}

impl ExportAudit {
    /// Exports what `events` holds.
    #[must_use]
    pub fn new(events: Arc<dyn EventLog>) -> Self {
        Self { events }
    }

    /// Begins an export of `span`, whose limit (taken as at least 1) is the size of a page.
    #[must_use]
    pub fn begin(&self, span: Span) -> AuditExport {
        let span = Span { limit: span.limit.max(1), ..span };
        AuditExport { log: self.events.clone(), span, events: Source::new(), others: Source::new() }
    }
}

impl AuditExport {
    /// The next entry; `None` at the end. Of one instant, the events of devices come first.
    ///
    /// # Errors
    /// [`StorageError`]; the same entry may be asked for again.
    pub async fn next(&mut self) -> Result<Option<AuditEntry>, StorageError> {
        if self.events.wants_more() {
            let page = self.log.events_by_time(&self.span, self.events.after.as_ref()).await?;
            self.events.fill(page, self.span.limit, |event| EventMark {
                at: event.at,
                device_id: event.device_id.clone(),
                sequence: event.sequence,
            });
        }
        if self.others.wants_more() {
            let page = self.log.audit_by_time(&self.span, self.others.after).await?;
            self.others.fill(page, self.span.limit, |kept| AuditMark { at: kept.event.at, number: kept.number });
        }
        let device_first = match (self.events.waiting.front(), self.others.waiting.front()) {
            (Some(event), Some(kept)) => event.at <= kept.event.at,
            (event, _) => event.is_some(),
        };
        Ok(if device_first {
            self.events.waiting.pop_front().map(AuditEntry::Device)
        } else {
            self.others.waiting.pop_front().map(AuditEntry::Other)
        })
    }
}
