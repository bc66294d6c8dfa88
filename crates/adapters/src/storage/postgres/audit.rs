//! The audit trail: writing is part of other transactions, reading is here.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::{AuditEvent, DeviceEvent, DeviceId, EventAnchor, Party, Scope, Subject};
use pos_port_storage::{AuditMark, DeviceEventPage, EventLog, EventMark, History, KeptAuditEvent, Span, StorageError};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use super::PgStore;
use super::link::PgLink;
use super::schema::{audit_events, device_events, merchants, reclaimed_events};
use crate::storage::audit_rows::{self, detail_text, digest_bytes, origin_text, subject_text, trace_text};
use crate::storage::reclaiming::AnchorRow;
use crate::storage::rows::signed;

type EventRow = audit_rows::EventRow<Uuid, OffsetDateTime>;
type AuditRow = audit_rows::AuditRow<Uuid, OffsetDateTime>;

/// Puts something on record, in the transaction of whatever makes it so.
pub(super) async fn insert_audit_event(connection: &mut PgLink, event: &AuditEvent) -> QueryResult<()> {
    use audit_events::dsl;
    diesel::insert_into(dsl::audit_events)
        .values((
            dsl::at.eq(event.at),
            dsl::actor.eq(event.act.actor.to_string()),
            dsl::origin.eq(origin_text(&event.act)),
            dsl::trace_id.eq(trace_text(&event.act)),
            dsl::merchant_id.eq(event.merchant_id.map(|merchant| merchant.0)),
            dsl::kind.eq(event.kind.as_str()),
            dsl::subject.eq(subject_text(event)),
            dsl::detail.eq(detail_text(event)),
            dsl::hash.eq(digest_bytes(event)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}

fn events(rows: Vec<EventRow>) -> Result<Vec<DeviceEvent>, StorageError> {
    Ok(rows.into_iter().map(EventRow::event).collect::<Result<_, _>>()?)
}

#[async_trait]
impl EventLog for PgStore {
    async fn events_of(&self, history: &History) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let mut query = dsl::device_events
            .filter(dsl::device_id.eq(history.device_id.as_str()).and(dsl::sequence.gt(signed(history.after))))
            .order(dsl::sequence)
            .limit(history.limit.into())
            .into_boxed();
        match history.scope {
            Scope::Operator => {}
            Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.0)),
            Scope::Of(Party::Reseller(parent)) => {
                let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.0));
                query = query.filter(dsl::merchant_id.eq_any(theirs.select(merchants::merchant_id)));
            }
        }
        events(run!(self, |connection| query.load(connection))?)
    }

    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let (device, sequence) = (page.after.0.as_str(), signed(page.after.1));
        let query = dsl::device_events
            .filter(dsl::device_id.ge(device).and(dsl::device_id.le(page.through.as_str())))
            .filter(dsl::device_id.gt(device).or(dsl::sequence.gt(sequence)))
            .order((dsl::device_id, dsl::sequence))
            .limit(page.limit.into());
        events(run!(self, bulk, |connection| query.load(connection))?)
    }

    async fn anchors(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<EventAnchor>, StorageError> {
        use reclaimed_events::dsl;
        let query =
            dsl::reclaimed_events.filter(dsl::device_id.between(first.as_str(), last.as_str())).order(dsl::device_id);
        let rows: Vec<AnchorRow> = run!(self, bulk, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(AnchorRow::anchor).collect::<Result<_, _>>()?)
    }

    async fn events_by_time(&self, span: &Span, after: Option<&EventMark>) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let order = (dsl::at, dsl::device_id, dsl::sequence);
        let mut query = dsl::device_events.order(order).limit(span.limit.into()).into_boxed();
        if let Some(since) = span.since {
            query = query.filter(dsl::at.ge(since));
        }
        if let Some(until) = span.until {
            query = query.filter(dsl::at.lt(until));
        }
        if let Some(id) = &span.device_id {
            query = query.filter(dsl::device_id.eq(id.as_str()));
        }
        if let Some(mark) = after {
            let device = mark.device_id.as_str();
            let same_device = dsl::device_id.eq(device).and(dsl::sequence.gt(signed(mark.sequence)));
            query = query
                .filter(dsl::at.ge(mark.at))
                .filter(dsl::at.gt(mark.at).or(dsl::device_id.gt(device)).or(same_device));
        }
        events(run!(self, bulk, |connection| query.load(connection))?)
    }

    async fn audit_by_time(&self, span: &Span, after: Option<AuditMark>) -> Result<Vec<KeptAuditEvent>, StorageError> {
        use audit_events::dsl;
        let mut query = dsl::audit_events.order((dsl::at, dsl::number)).limit(span.limit.into()).into_boxed();
        if let Some(since) = span.since {
            query = query.filter(dsl::at.ge(since));
        }
        if let Some(until) = span.until {
            query = query.filter(dsl::at.lt(until));
        }
        if let Some(id) = &span.device_id {
            query = query.filter(dsl::subject.eq(Subject::Device(id.clone()).to_string()));
        }
        if let Some(mark) = after {
            query =
                query.filter(dsl::at.ge(mark.at)).filter(dsl::at.gt(mark.at).or(dsl::number.gt(signed(mark.number))));
        }
        let rows: Vec<AuditRow> = run!(self, bulk, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(AuditRow::kept).collect::<Result<_, _>>()?)
    }
}
