use std::collections::HashMap;
use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pos_domain::{Device, DeviceId};
use pos_port_storage::StorageError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::DeviceRow;
use super::super::connection::{PgConnection, PgManager, is_lost, judge};
use super::super::schema::devices;
use crate::storage::failure::{Failure, TooSlow, shared};
use crate::storage::rows::CorruptRow;

/// How many look-ups go to the database in one statement.
const BATCH: usize = 256;

/// One caller's look-up.
pub(super) struct Wanted {
    pub(super) id: DeviceId,
    pub(super) reply: oneshot::Sender<Answer>,
}

type Answer = Result<Option<Device>, StorageError>;

/// Serves a lane until its store is gone.
pub(super) async fn run(mut queue: mpsc::Receiver<Wanted>, opener: Arc<PgManager>) {
    let mut lane = Lane { opener, connection: None };
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        // Nobody waits for what callers that went away wanted.
        batch.retain(|wanted| !wanted.reply.is_closed());
        lane.serve(&mut batch).await;
    }
}

struct Lane {
    opener: Arc<PgManager>,
    connection: Option<PgConnection>,
}

/// Why a statement gave nothing.
enum Trouble {
    /// A connection that had been idle turned out to be gone: worth a second try.
    Lost(Failure),
    Failed(Failure),
}

impl Lane {
    async fn serve(&mut self, batch: &mut Vec<Wanted>) {
        let mut ids: Vec<&str> = batch.iter().map(|wanted| wanted.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return;
        }
        match self.look_up(&ids).await {
            Ok(rows) => answer(batch, rows),
            // One of them may be what the database cannot stomach: only its callers are to hear of it.
            Err(StorageError::Fault(_)) if ids.len() > 1 => {
                for wanted in batch.drain(..) {
                    let rows = self.look_up(&[wanted.id.as_str()]).await;
                    let device =
                        rows.and_then(|mut rows| rows.pop().map(DeviceRow::device).transpose().map_err(Into::into));
                    send(wanted, device);
                }
            }
            Err(error) => {
                let errors = shared(error);
                batch.drain(..).zip(errors).for_each(|(wanted, error)| send(wanted, Err(error)));
            }
        }
    }

    async fn look_up(&mut self, ids: &[&str]) -> Result<Vec<DeviceRow>, StorageError> {
        let outcome = match self.try_once(ids).await {
            Err(Trouble::Lost(_)) => self.try_once(ids).await,
            outcome => outcome,
        };
        outcome.map_err(|(Trouble::Lost(failure) | Trouble::Failed(failure))| failure.into())
    }

    async fn try_once(&mut self, ids: &[&str]) -> Result<Vec<DeviceRow>, Trouble> {
        let limit = self.opener.statement_timeout;
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.opener.open().await.map_err(|error| Trouble::Failed(Failure::unavailable(error)))?,
        };
        let query = devices::table.filter(devices::device_id.eq_any(ids));
        let outcome = timeout(limit, query.load(&mut connection.diesel)).await;
        let too_slow = || Failure::unavailable(TooSlow { what: "a PostgreSQL statement", limit });
        let error = match outcome.map_err(|_| Trouble::Failed(too_slow()))? {
            Ok(rows) => {
                self.connection = Some(connection);
                return Ok(rows);
            }
            Err(error) => error,
        };
        let closed = connection.is_closed();
        let lost = was_kept && (closed || is_lost(&error));
        let failure = judge(closed, error);
        if lost {
            return Err(Trouble::Lost(failure));
        }
        if matches!(failure, Failure::Storage(StorageError::Fault(_)) | Failure::Taken { .. }) {
            self.connection = Some(connection);
        }
        Err(Trouble::Failed(failure))
    }
}

/// Hands each caller its device, or word of the row that cannot be read.
fn answer(batch: &mut Vec<Wanted>, rows: Vec<DeviceRow>) {
    let read = |row: DeviceRow| (row.id().to_owned(), row.device());
    let found: HashMap<String, Result<Device, CorruptRow>> = rows.into_iter().map(read).collect();
    for wanted in batch.drain(..) {
        let device = found.get(wanted.id.as_str()).cloned().transpose().map_err(Into::into);
        send(wanted, device);
    }
}

/// A caller that is gone needs no answer.
fn send(wanted: Wanted, answer: Answer) {
    let _ = wanted.reply.send(answer);
}
