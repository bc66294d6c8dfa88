//! Device events: queries, and the insert that other transactions use.

use async_trait::async_trait;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::device::{ChainCheckpoint, DeviceEvent};
use pos_domain::shared::DeviceId;
use pos_port_storage::device::{DeviceEventLog, DeviceEventPage, DeviceHistory, EventPosition};
use pos_port_storage::shared::{StorageError, TimeRange};

use crate::engine_error::EngineError;
use crate::rows::audit::{self, client_ip_text, trace_text};
use crate::rows::reader::signed;
use crate::rows::retention::ChainCheckpointRow;
use crate::sqlite::instants::micros;
use crate::sqlite::schema::{chain_checkpoints, device_events};
use crate::sqlite::store::SqliteStore;
use crate::visibility::visible_by_merchant;

type EventRow = audit::EventRow<String, i64>;

pub(crate) fn insert_event(connection: &mut SqliteConnection, event: &DeviceEvent) -> Result<(), EngineError> {
    use device_events::dsl;
    diesel::insert_into(dsl::device_events)
        .values((
            dsl::device_id.eq(event.device_id.as_str()),
            dsl::sequence.eq(signed(event.sequence)),
            dsl::merchant_id.eq(event.merchant_id.to_string()),
            dsl::at.eq(micros(event.at)),
            dsl::actor.eq(event.audit_context.actor.to_string()),
            dsl::kind.eq(event.kind.as_str()),
            dsl::client_ip.eq(client_ip_text(&event.audit_context)),
            dsl::trace_id.eq(trace_text(&event.audit_context)),
            dsl::hash.eq(event.hash.map(|hash| hash.0.to_vec())),
        ))
        .execute(connection)?;
    Ok(())
}

fn events(rows: Vec<EventRow>) -> Result<Vec<DeviceEvent>, StorageError> {
    Ok(rows.into_iter().map(EventRow::event).collect::<Result<_, _>>()?)
}

#[async_trait]
impl DeviceEventLog for SqliteStore {
    async fn events_of(&self, history: &DeviceHistory) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let history = history.clone();
        let rows = self.read(move |connection| {
            let query = dsl::device_events
                .filter(dsl::device_id.eq(history.device_id.as_str()).and(dsl::sequence.gt(signed(history.after))))
                .order(dsl::sequence)
                .limit(history.limit.into())
                .into_boxed();
            let query = visible_by_merchant!(sqlite, query, history.scope, dsl::merchant_id);
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

    async fn chain_checkpoints(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<ChainCheckpoint>, StorageError> {
        use chain_checkpoints::dsl;
        let (first, last) = (first.as_str().to_owned(), last.as_str().to_owned());
        let rows = self.read_bulk(move |connection| {
            let query = dsl::chain_checkpoints.filter(dsl::device_id.between(first, last)).order(dsl::device_id);
            Ok(query.load::<ChainCheckpointRow>(connection)?)
        });
        Ok(rows.await?.into_iter().map(ChainCheckpointRow::checkpoint).collect::<Result<_, _>>()?)
    }

    async fn events_by_time(
        &self,
        span: &TimeRange,
        after: Option<&EventPosition>,
    ) -> Result<Vec<DeviceEvent>, StorageError> {
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
}
