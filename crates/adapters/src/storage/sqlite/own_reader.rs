//! A connection that reads for each HTTP worker, used on the worker's own thread: a look-up by id takes some
//! microseconds, and handing it to another thread costs several times that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::SqliteConnection;
use thread_local::ThreadLocal;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::connection::{Role, SqliteManager};
use crate::storage::failure::Failure;

pub(super) struct OwnReaders {
    manager: SqliteManager,
    of_threads: ThreadLocal<Mutex<Option<SqliteConnection>>>,
}

impl OwnReaders {
    pub(super) fn new(manager: SqliteManager) -> Self {
        // Nothing may make a worker wait here: who would have to, goes to the pool.
        let manager = SqliteManager { role: Role::Reader, busy_timeout: Duration::ZERO, ..manager };
        Self { manager, of_threads: ThreadLocal::new() }
    }

    /// What a short look-up finds; none where it does not belong (a runtime of many threads moves its tasks about) or
    /// did not work. The pool can do it then, and tell why it cannot.
    pub(super) fn read<T>(&self, look_up: impl FnOnce(&mut SqliteConnection) -> Result<T, Failure>) -> Option<T> {
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return None;
        }
        let mut slot = self.of_threads.get_or_default().lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.manager.open().ok()?,
        };
        let found = look_up(&mut connection).ok()?;
        *slot = Some(connection);
        Some(found)
    }
}
