//! The audit trail: writing is part of other transactions, reading is here.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::{AuditEvent, DeviceEvent, DeviceId, EventAnchor, Party, Scope, Subject};
use pos_port_storage::{AuditMark, DeviceEventPage, EventLog, EventMark, History, KeptAuditEvent, Span, StorageError};

use super::schema::{audit_events, device_events, merchants, reclaimed_events};
use super::{SqliteStore, micros};
use crate::storage::audit_rows::{self, detail_text, digest_bytes, origin_text, subject_text, trace_text};
use crate::storage::failure::Failure;
use crate::storage::reclaiming::AnchorRow;
use crate::storage::rows::signed;

type EventRow = audit_rows::EventRow<String, i64>;
type AuditRow = audit_rows::AuditRow<String, i64>;

pub(super) fn insert_event(connection: &mut SqliteConnection, event: &DeviceEvent) -> Result<(), Failure> {
    use device_events::dsl;
    diesel::insert_into(dsl::device_events)
        .values((
            dsl::device_id.eq(event.device_id.as_str()),
            dsl::sequence.eq(signed(event.sequence)),
            dsl::merchant_id.eq(event.merchant_id.to_string()),
            dsl::at.eq(micros(event.at)),
            dsl::actor.eq(event.act.actor.to_string()),
            dsl::kind.eq(event.kind.as_str()),
            dsl::origin.eq(origin_text(&event.act)),
            dsl::trace_id.eq(trace_text(&event.act)),
            dsl::hash.eq(event.hash.map(|hash| hash.0.to_vec())),
        ))
        .execute(connection)?;
    Ok(())
}

/// Puts something on record, in the transaction of whatever makes it so.
pub(super) fn insert_audit_event(connection: &mut SqliteConnection, event: &AuditEvent) -> Result<(), Failure> {
    use audit_events::dsl;
    diesel::insert_into(dsl::audit_events)
        .values((
            dsl::at.eq(micros(event.at)),
            dsl::actor.eq(event.act.actor.to_string()),
            dsl::origin.eq(origin_text(&event.act)),
            dsl::trace_id.eq(trace_text(&event.act)),
            dsl::merchant_id.eq(event.merchant_id.map(|merchant| merchant.to_string())),
            dsl::kind.eq(event.kind.as_str()),
            dsl::subject.eq(subject_text(event)),
            dsl::detail.eq(detail_text(event)),
            dsl::hash.eq(digest_bytes(event)),
        ))
        .execute(connection)?;
    Ok(())
}

fn events(rows: Vec<EventRow>) -> Result<Vec<DeviceEvent>, StorageError> {
    Ok(rows.into_iter().map(EventRow::event).collect::<Result<_, _>>()?)
}

#[async_trait]
impl EventLog for SqliteStore {
    async fn events_of(&self, history: &History) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let history = history.clone();
        let rows = self.read(move |connection| {
            let mut query = dsl::device_events
                .filter(dsl::device_id.eq(history.device_id.as_str()).and(dsl::sequence.gt(signed(history.after))))
                .order(dsl::sequence)
                .limit(history.limit.into())
                .into_boxed();
            match history.scope {
                Scope::Operator => {}
                Scope::Of(Party::Merchant(own)) => query = query.filter(dsl::merchant_id.eq(own.to_string())),
                Scope::Of(Party::Reseller(parent)) => {
                    let theirs = merchants::table.filter(merchants::reseller_id.eq(parent.to_string()));
                    query = query.filter(dsl::merchant_id.eq_any(theirs.select(merchants::merchant_id)));
                }
            }
            Ok(query.load::<EventRow>(connection)?)
        });
        events(rows.await?)
    }

    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let page = page.clone();
        let rows = self.read_bulk(move |connection| {
            let (device, sequence) = (page.after.0.as_str(), signed(page.after.1));
            let query = dsl::device_events
                .filter(dsl::device_id.ge(device).and(dsl::device_id.le(page.through.as_str())))
                .filter(dsl::device_id.gt(device).or(dsl::sequence.gt(sequence)))
                .order((dsl::device_id, dsl::sequence))
                .limit(page.limit.into());
            Ok(query.load::<EventRow>(connection)?)
        });
        events(rows.await?)
    }

    async fn anchors(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<EventAnchor>, StorageError> {
        use reclaimed_events::dsl;
        let (first, last) = (first.as_str().to_owned(), last.as_str().to_owned());
        let rows = self.read_bulk(move |connection| {
            let query = dsl::reclaimed_events.filter(dsl::device_id.between(first, last)).order(dsl::device_id);
            Ok(query.load::<AnchorRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(AnchorRow::anchor).collect::<Result<_, _>>()?)
    }

    async fn events_by_time(&self, span: &Span, after: Option<&EventMark>) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let (span, after) = (span.clone(), after.cloned());
        let rows = self.read_bulk(move |connection| {
            let order = (dsl::at, dsl::device_id, dsl::sequence);
            let mut query = dsl::device_events.order(order).limit(span.limit.into()).into_boxed();
            if let Some(since) = span.since {
                query = query.filter(dsl::at.ge(micros(since)));
            }
            if let Some(until) = span.until {
                query = query.filter(dsl::at.lt(micros(until)));
            }
            if let Some(id) = &span.device_id {
                query = query.filter(dsl::device_id.eq(id.as_str().to_owned()));
            }
            if let Some(mark) = after {
                let (at, device) = (micros(mark.at), mark.device_id.as_str().to_owned());
                let same_device = dsl::device_id.eq(device.clone()).and(dsl::sequence.gt(signed(mark.sequence)));
                query =
                    query.filter(dsl::at.ge(at)).filter(dsl::at.gt(at).or(dsl::device_id.gt(device)).or(same_device));
            }
            Ok(query.load::<EventRow>(connection)?)
        });
        events(rows.await?)
    }

    async fn audit_by_time(&self, span: &Span, after: Option<AuditMark>) -> Result<Vec<KeptAuditEvent>, StorageError> {
        use audit_events::dsl;
        let span = span.clone();
        let rows = self.read_bulk(move |connection| {
            let mut query = dsl::audit_events.order((dsl::at, dsl::number)).limit(span.limit.into()).into_boxed();
            if let Some(since) = span.since {
                query = query.filter(dsl::at.ge(micros(since)));
            }
            if let Some(until) = span.until {
                query = query.filter(dsl::at.lt(micros(until)));
            }
            if let Some(id) = span.device_id {
                query = query.filter(dsl::subject.eq(Subject::Device(id).to_string()));
            }
            if let Some(mark) = after {
                let at = micros(mark.at);
                query = query.filter(dsl::at.ge(at)).filter(dsl::at.gt(at).or(dsl::number.gt(signed(mark.number))));
            }
            Ok(query.load::<AuditRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(AuditRow::kept).collect::<Result<_, _>>()?)
    }
}
