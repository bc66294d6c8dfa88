use std::sync::Arc;

use pos_domain::{Device, DeviceId};
use pos_port_storage::StorageError;
use tokio_postgres::Row;

use super::super::connection::PgManager;
use super::by_ids::{ByIds, device_row};
use super::lane::{Lane, Trouble};
use super::{Gather, Lanes, Waiting};
use crate::storage::failure::{Failure, shared};

/// Look-ups by id.
pub(in super::super) struct Lookups(Lanes<Wanted>);

/// One look-up.
struct Wanted(DeviceId);

/// What one finds.
type Found = Result<Option<Device>, StorageError>;

impl Lookups {
    pub(in super::super) fn new(opener: Arc<PgManager>) -> Self {
        Self(Lanes::new(opener))
    }

    /// The device of this id.
    pub(in super::super) async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        self.0.call(Wanted(id.clone())).await?
    }
}

impl Gather for Wanted {
    type Answer = Found;
    type Link = ByIds;
    const BATCH: usize = 256;

    async fn serve(lane: &mut Lane<ByIds>, batch: &mut Vec<Waiting<Self>>) {
        batch.sort_unstable_by(|one, other| one.call.0.cmp(&other.call.0));
        let mut ids: Vec<&str> = batch.iter().map(|waiting| waiting.call.0.as_str()).collect();
        ids.dedup();
        match look_up(lane, &ids).await {
            Ok(rows) => answer(batch, &rows),
            // One of them may be what the database cannot stomach: only its callers are to hear of it.
            Err(StorageError::Fault(_)) if ids.len() > 1 => {
                let mut waiting = batch.drain(..).filter(|waiting| !waiting.reply.is_closed());
                while let Some(one) = waiting.next() {
                    match look_up(lane, &[one.call.0.as_str()]).await {
                        Err(error @ StorageError::Unavailable(_)) => {
                            let rest = std::iter::once(one).chain(waiting);
                            rest.zip(shared(error)).for_each(|(one, error)| one.answer(Err(error)));
                            return;
                        }
                        rows => one.answer(rows.and_then(|rows| rows.first().map(device).transpose())),
                    }
                }
            }
            Err(error) => {
                let errors = shared(error);
                batch.drain(..).zip(errors).for_each(|(waiting, error)| waiting.answer(Err(error)));
            }
        }
    }
}

async fn look_up(lane: &mut Lane<ByIds>, ids: &[&str]) -> Result<Vec<Row>, StorageError> {
    let load = async |connection: &mut ByIds| connection.rows(ids).await;
    let outcome = match lane.run(load).await {
        // Reading twice does no harm, and an outdated plan was given up.
        Err(Trouble::Lost(_) | Trouble::RolledBack(_)) => lane.run(load).await,
        outcome => outcome,
    };
    outcome.map_err(|trouble| Failure::from(trouble).into())
}

/// Hands each caller its device, or word of the row that cannot be read. The callers stand in the order of their ids.
fn answer(batch: &mut Vec<Waiting<Wanted>>, rows: &[Row]) {
    let mut by_id: Vec<(&str, &Row)> = rows.iter().filter_map(|row| Some((row.try_get(0).ok()?, row))).collect();
    // The index gives them in this order, and nothing promises it.
    by_id.sort_unstable_by_key(|(id, _)| *id);
    let mut rows = by_id.into_iter().peekable();
    for caller in batch.drain(..) {
        let wanted = caller.call.0.as_str();
        while rows.next_if(|(id, _)| *id < wanted).is_some() {}
        let found = rows.peek().filter(|(id, _)| *id == wanted).map(|(_, row)| device(row)).transpose();
        caller.answer(found);
    }
}

fn device(row: &Row) -> Result<Device, StorageError> {
    let row = device_row(row).map_err(|error| StorageError::Fault(error.into()))?;
    Ok(row.device()?)
}
