//! Worker of a batch queue: one connection, on which statements run one after another.

use std::sync::Arc;
use std::time::Duration;

use pos_port_storage::shared::StorageError;
use tokio::time::timeout;

use crate::engine_error::{EngineError, TooSlow};
use crate::postgres::errors::{classify, is_lost, is_outdated, is_rolled_back};
use crate::postgres::pool::{FromClient, PgConnection, PgManager};

/// One connection, opened on demand and closed if its state is unknown.
pub(crate) struct BatchWorker<L> {
    opener: Arc<PgManager>,
    connection: Option<PgConnection<L>>,
}

/// Why a statement returned no rows.
pub(crate) enum StatementError {
    /// An idle connection was lost. Whether the statement ran is unknown.
    Lost(EngineError),
    /// Another transaction conflicted, or the plan was outdated. Nothing was stored.
    RolledBack(EngineError),
    /// Anything else.
    Failed(EngineError),
}

impl From<StatementError> for EngineError {
    fn from(error: StatementError) -> Self {
        let (StatementError::Lost(failure) | StatementError::RolledBack(failure) | StatementError::Failed(failure)) =
            error;
        failure
    }
}

impl<L: FromClient> BatchWorker<L> {
    pub(crate) fn new(opener: Arc<PgManager>) -> Self {
        Self { opener, connection: None }
    }

    /// The statement timeout of the server's session.
    pub(crate) fn server_timeout(&self) -> Duration {
        self.opener.statement_timeout / 4 * 3
    }

    /// Runs one statement within the statement timeout.
    pub(crate) async fn run<T>(
        &mut self,
        statement: impl AsyncFnOnce(&mut L) -> diesel::QueryResult<T>,
    ) -> Result<T, StatementError> {
        let limit = self.opener.statement_timeout;
        let idle = self.connection.take().filter(|connection| !connection.is_closed());
        let was_idle = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => {
                self.opener.open().await.map_err(|error| StatementError::Failed(EngineError::unavailable(error)))?
            }
        };
        connection.reusable = false;
        let keeps_plans = connection.keeps_plans || self.opener.pooled;
        let outcome = timeout(limit, async {
            if !keeps_plans {
                connection.keeps_plans = connection.inner.keep_plans().await?;
            }
            statement(&mut connection.inner).await
        })
        .await;
        let too_slow = || EngineError::unavailable(TooSlow { what: "a PostgreSQL statement", limit });
        let error = match outcome.map_err(|_| StatementError::Failed(too_slow()))? {
            Ok(value) => {
                connection.reusable = true;
                self.connection = Some(connection);
                return Ok(value);
            }
            Err(error) => error,
        };
        let closed = connection.is_closed();
        let lost = was_idle && (closed || is_lost(&error));
        let (rolled_back, outdated) = (is_rolled_back(&error), is_outdated(&error));
        let failure = classify(closed, error);
        if lost {
            return Err(StatementError::Lost(failure));
        }
        if rolled_back
            || matches!(
                failure,
                EngineError::Storage(StorageError::Fault(_))
                    | EngineError::UniqueViolation { .. }
                    | EngineError::ForeignKeyViolation { .. }
            )
        {
            connection.reusable = true;
            self.connection = Some(connection);
        }
        if rolled_back || outdated {
            return Err(StatementError::RolledBack(failure));
        }
        Err(StatementError::Failed(failure))
    }
}
