//! Read connection per HTTP worker, used on the worker's own thread: a look-up by id takes a few microseconds, and moving it
//! to another thread costs several times as much.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::SqliteConnection;
use thread_local::ThreadLocal;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::engine_error::EngineError;
use crate::sqlite::connection::{Role, SqliteManager};

pub(crate) struct WorkerReaders {
    manager: SqliteManager,
    per_thread: ThreadLocal<Mutex<Option<SqliteConnection>>>,
}

impl WorkerReaders {
    pub(crate) fn new(manager: SqliteManager) -> Self {
        // A worker must not block here. A look-up that would wait uses the pool instead.
        let manager = SqliteManager { role: Role::Reader, busy_timeout: Duration::ZERO, ..manager };
        Self { manager, per_thread: ThreadLocal::new() }
    }

    /// Runs a short look-up. `None` on a multi-threaded runtime, which moves tasks between threads, or after an error. The
    /// caller then uses the pool, which reports the error.
    pub(crate) fn read<T>(&self, look_up: impl FnOnce(&mut SqliteConnection) -> Result<T, EngineError>) -> Option<T> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let mut slot = self.per_thread.get_or_default().lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.manager.open().ok()?,
        };
        let found = look_up(&mut connection).ok()?;
        *slot = Some(connection);
        Some(found)
    }
}
