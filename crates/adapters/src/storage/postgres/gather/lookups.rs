use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::{Device, DeviceId};
use pos_port_storage::StorageError;

use super::super::DeviceRow;
use super::super::connection::PgManager;
use super::super::schema::devices;
use super::lane::{Lane, Trouble};
use super::{Gather, Lanes, Waiting};
use crate::storage::failure::{Failure, shared};
use crate::storage::rows::CorruptRow;

/// Look-ups by id.
pub(in super::super) struct Lookups(Lanes<Wanted>);

/// One look-up.
struct Wanted(DeviceId);

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
    type Answer = Result<Option<Device>, StorageError>;
    const BATCH: usize = 256;

    async fn serve(lane: &mut Lane, batch: &mut Vec<Waiting<Self>>) {
        batch.sort_unstable_by(|one, other| one.call.0.cmp(&other.call.0));
        let mut ids: Vec<&str> = batch.iter().map(|waiting| waiting.call.0.as_str()).collect();
        ids.dedup();
        match look_up(lane, &ids).await {
            Ok(rows) => answer(batch, rows),
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
                        rows => {
                            let row = rows.map(|mut rows| rows.pop());
                            one.answer(row.and_then(|row| Ok(row.map(DeviceRow::device).transpose()?)));
                        }
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

async fn look_up(lane: &mut Lane, ids: &[&str]) -> Result<Vec<DeviceRow>, StorageError> {
    let load = async |connection: &mut _| devices::table.filter(devices::device_id.eq_any(ids)).load(connection).await;
    let outcome = match lane.run(load).await {
        // Reading twice does no harm.
        Err(Trouble::Lost(_)) => lane.run(load).await,
        outcome => outcome,
    };
    outcome.map_err(|trouble| Failure::from(trouble).into())
}

/// Hands each caller its device, or word of the row that cannot be read. The callers are in the order of their ids, so
/// that a device is copied only where the next caller wants it too.
fn answer(batch: &mut Vec<Waiting<Wanted>>, rows: Vec<DeviceRow>) {
    let read = |row: DeviceRow| (row.id().to_owned(), row.device());
    let mut found: HashMap<String, Result<Device, CorruptRow>> = rows.into_iter().map(read).collect();
    let mut callers = batch.drain(..).peekable();
    while let Some(caller) = callers.next() {
        let id = &caller.call.0;
        let device = if callers.peek().is_some_and(|next| next.call.0 == *id) {
            found.get(id.as_str()).cloned()
        } else {
            found.remove(id.as_str())
        };
        caller.answer(device.transpose().map_err(Into::into));
    }
}
