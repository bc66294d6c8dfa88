//! Audit event of a purge.

use time::OffsetDateTime;

use super::{AuditEvent, AuditKind};
use crate::shared::AuditContext;

/// Returns the audit event of a purge: the number of purged events, their kind, and the instant up to which they had
/// happened.
#[must_use]
pub fn events_purged(sort: &str, count: u64, before: OffsetDateTime, now: OffsetDateTime) -> AuditEvent {
    let kind = AuditKind::EventsPurged;
    let event = AuditEvent {
        at: now,
        audit_context: AuditContext::operator(),
        merchant_id: None,
        kind,
        subject: None,
        detail: [].into(),
    };
    event.with("sort", sort).with("count", count).with("before_unix_secs", before.unix_timestamp())
}
