//! Batched look-ups of devices by id.

use std::sync::Arc;

use pos_domain::device::Device;
use pos_domain::shared::DeviceId;
use pos_port_storage::shared::StorageError;
use tokio_postgres::Row;

use crate::engine_error::{EngineError, shared};
use crate::postgres::batching::by_ids::{LookupConnection, device_row};
use crate::postgres::batching::{BatchWorkers, BatchedCall, QueuedCall};
use crate::postgres::pool::PgManager;
use crate::postgres::worker::{BatchWorker, StatementError};

/// Looks up devices by id, in batches.
pub(crate) struct Lookups(BatchWorkers<Lookup>);

/// The id that one call looks up.
struct Lookup(DeviceId);

type Found = Result<Option<Device>, StorageError>;

impl Lookups {
    pub(crate) fn new(opener: Arc<PgManager>) -> Self {
        Self(BatchWorkers::new(opener))
    }

    pub(crate) async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        self.0.call(Lookup(id.clone())).await?
    }
}

impl BatchedCall for Lookup {
    type Answer = Found;
    type Connection = LookupConnection;
    const BATCH: usize = 256;

    async fn run_batch(worker: &mut BatchWorker<LookupConnection>, batch: &mut Vec<QueuedCall<Self>>) {
        batch.sort_unstable_by(|one, other| one.call.0.cmp(&other.call.0));
        let mut ids: Vec<&str> = batch.iter().map(|queued| queued.call.0.as_str()).collect();
        ids.dedup();
        match look_up(worker, &ids).await {
            Ok(rows) => answer(batch, &rows),
            // One id may be invalid for the database. Retry one by one, so that only its callers receive the error.
            Err(StorageError::Fault(_)) if ids.len() > 1 => {
                let mut queued = batch.drain(..).filter(|queued| !queued.reply.is_closed());
                while let Some(one) = queued.next() {
                    match look_up(worker, &[one.call.0.as_str()]).await {
                        Err(error @ StorageError::Unavailable(_)) => {
                            let rest = std::iter::once(one).chain(queued);
                            rest.zip(shared(error)).for_each(|(one, error)| one.answer(Err(error)));
                            return;
                        }
                        rows => one.answer(rows.and_then(|rows| rows.first().map(device).transpose())),
                    }
                }
            }
            Err(error) => {
                let errors = shared(error);
                batch.drain(..).zip(errors).for_each(|(queued, error)| queued.answer(Err(error)));
            }
        }
    }
}

async fn look_up(worker: &mut BatchWorker<LookupConnection>, ids: &[&str]) -> Result<Vec<Row>, StorageError> {
    let load = async |connection: &mut LookupConnection| connection.rows(ids).await;
    let outcome = match worker.run(load).await {
        // A read may be repeated. An outdated plan was dropped.
        Err(StatementError::Lost(_) | StatementError::RolledBack(_)) => worker.run(load).await,
        outcome => outcome,
    };
    outcome.map_err(|error| EngineError::from(error).into())
}

/// Sends each caller its device, or the error of an unreadable row. The calls are sorted by id.
fn answer(batch: &mut Vec<QueuedCall<Lookup>>, rows: &[Row]) {
    let mut by_id: Vec<(&str, &Row)> = rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row))).collect();
    // The index returns rows in this order, but nothing guarantees it.
    by_id.sort_unstable_by_key(|(id, _)| *id);
    let mut rows = by_id.into_iter().peekable();
    for queued in batch.drain(..) {
        let wanted = queued.call.0.as_str();
        while rows.next_if(|(id, _)| *id < wanted).is_some() {}
        let found = rows.peek().filter(|(id, _)| *id == wanted).map(|(_, row)| device(row)).transpose();
        queued.answer(found);
    }
}

fn device(row: &Row) -> Result<Device, StorageError> {
    let row = device_row(row).map_err(|error| StorageError::Fault(error.into()))?;
    Ok(row.device()?)
}
