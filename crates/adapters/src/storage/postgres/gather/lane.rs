use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::StorageError;
use tokio::time::timeout;

use super::super::connection::{Link, PgConnection, PgManager};
use super::super::errors::{is_lost, is_outdated, is_rolled_back, judge};
use crate::storage::failure::{Failure, TooSlow};

/// One connection, opened when it is needed and given up when in doubt.
pub(in super::super) struct Lane<L> {
    opener: Arc<PgManager>,
    connection: Option<PgConnection<L>>,
}

/// Why a statement gave nothing.
pub(in super::super) enum Trouble {
    /// A connection that had been idle turned out to be gone. Whether the statement was run is not known.
    Lost(Failure),
    /// Others were at the same rows, or the plan was outdated, and nothing of the statement was kept.
    RolledBack(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let (Trouble::Lost(failure) | Trouble::RolledBack(failure) | Trouble::Failed(failure)) = trouble;
        failure
    }
}

impl<L: Link> Lane<L> {
    pub(in super::super) fn new(opener: Arc<PgManager>) -> Self {
        Self { opener, connection: None }
    }

    /// After how long the server gives a statement up, at the latest.
    pub(in super::super) fn server_timeout(&self) -> Duration {
        self.opener.statement_timeout / 4 * 3
    }

    /// Runs one statement within the time limit.
    pub(in super::super) async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut L) -> diesel::QueryResult<T>,
    ) -> Result<T, Trouble> {
        let limit = self.opener.statement_timeout;
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.opener.open().await.map_err(|error| Trouble::Failed(Failure::unavailable(error)))?,
        };
        connection.settled = false;
        let outcome = timeout(limit, statement(&mut connection.link)).await;
        let too_slow = || Failure::unavailable(TooSlow { what: "a PostgreSQL statement", limit });
        let error = match outcome.map_err(|_| Trouble::Failed(too_slow()))? {
            Ok(value) => {
                connection.settled = true;
                self.connection = Some(connection);
                return Ok(value);
            }
            Err(error) => error,
        };
        let closed = connection.is_closed();
        let lost = was_kept && (closed || is_lost(&error));
        let (rolled_back, outdated) = (is_rolled_back(&error), is_outdated(&error));
        let failure = judge(closed, error);
        if lost {
            return Err(Trouble::Lost(failure));
        }
        if rolled_back
            || matches!(
                failure,
                Failure::Storage(StorageError::Fault(_)) | Failure::Taken { .. } | Failure::Missing { .. }
            )
        {
            connection.settled = true;
            self.connection = Some(connection);
        }
        if rolled_back || outdated {
            return Err(Trouble::RolledBack(failure));
        }
        Err(Trouble::Failed(failure))
    }
}
