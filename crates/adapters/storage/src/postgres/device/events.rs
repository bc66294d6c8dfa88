//! Device events: queries.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::device::{ChainCheckpoint, DeviceEvent};
use pos_domain::shared::DeviceId;
use pos_port_storage::device::{DeviceEventLog, DeviceEventPage, DeviceHistory, EventPosition};
use pos_port_storage::shared::{StorageError, TimeRange};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::schema::{chain_checkpoints, device_events};
use crate::postgres::store::PgStore;
use crate::rows::audit::{self};
use crate::rows::reader::signed;
use crate::rows::retention::ChainCheckpointRow;
use crate::visibility::visible_by_merchant;

type EventRow = audit::EventRow<Uuid, OffsetDateTime>;

fn events(rows: Vec<EventRow>) -> Result<Vec<DeviceEvent>, StorageError> {
    Ok(rows.into_iter().map(EventRow::event).collect::<Result<_, _>>()?)
}

#[async_trait]
impl DeviceEventLog for PgStore {
    async fn events_of(&self, history: &DeviceHistory) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let query = dsl::device_events
            .filter(dsl::device_id.eq(history.device_id.as_str()).and(dsl::sequence.gt(signed(history.after))))
            .order(dsl::sequence)
            .limit(history.limit.into())
            .into_boxed();
        let query = visible_by_merchant!(postgres, query, history.scope, dsl::merchant_id);
        events(self.run(async |connection| query.load(connection).await).await?)
    }

    async fn events_by_device(&self, page: &DeviceEventPage) -> Result<Vec<DeviceEvent>, StorageError> {
        use device_events::dsl;
        let (device, sequence) = (page.after.0.as_str(), signed(page.after.1));
        let query = dsl::device_events
            .filter(dsl::device_id.ge(device).and(dsl::device_id.le(page.through.as_str())))
            .filter(dsl::device_id.gt(device).or(dsl::sequence.gt(sequence)))
            .order((dsl::device_id, dsl::sequence))
            .limit(page.limit.into());
        events(self.run_bulk(async |connection| query.load(connection).await).await?)
    }

    async fn chain_checkpoints(&self, first: &DeviceId, last: &DeviceId) -> Result<Vec<ChainCheckpoint>, StorageError> {
        use chain_checkpoints::dsl;
        let query =
            dsl::chain_checkpoints.filter(dsl::device_id.between(first.as_str(), last.as_str())).order(dsl::device_id);
        let rows: Vec<ChainCheckpointRow> = self.run_bulk(async |connection| query.load(connection).await).await?;
        Ok(rows.into_iter().map(ChainCheckpointRow::checkpoint).collect::<Result<_, _>>()?)
    }

    async fn events_by_time(
        &self,
        span: &TimeRange,
        after: Option<&EventPosition>,
    ) -> Result<Vec<DeviceEvent>, StorageError> {
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
        events(self.run_bulk(async |connection| query.load(connection).await).await?)
    }
}
