//! Bulkheads in a connection pool: how many connections one kind of work may hold at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::engine_error::EngineError;

/// A bounded share of a pool. A permit is acquired before the connection, so work that waits for its share holds none.
///
/// The holder of a permit must not wait for another permit of the same share (deadlock).
#[derive(Clone)]
pub(crate) struct PoolShare {
    permits: Arc<Semaphore>,
}

impl PoolShare {
    /// A share of this many connections.
    pub(crate) fn of(connections: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(connections)) }
    }

    /// Waits for a permit. The wait is bounded, because every holder of a permit has a time limit.
    pub(crate) async fn acquire(&self) -> Result<SemaphorePermit<'_>, EngineError> {
        self.permits.acquire().await.map_err(EngineError::unavailable)
    }

    /// Returns a permit if one is available now.
    pub(crate) fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.try_acquire().ok()
    }
}

/// The share of best-effort updates, which never wait: an update without a permit is dropped and counted.
pub(crate) struct BestEffortShare {
    share: PoolShare,
    dropped: AtomicU64,
}

impl BestEffortShare {
    pub(crate) fn of(share: PoolShare) -> Self {
        Self { share, dropped: AtomicU64::new(0) }
    }

    /// Returns a permit if one is available now. Otherwise counts a dropped update.
    pub(crate) fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.share.try_acquire();
        if permit.is_none() {
            self.count_dropped();
        }
        permit
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many updates were dropped since the last call.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The shares of one pool. With four or more connections, some are always left for interactive requests.
pub(crate) struct PoolShares {
    /// Updates of terminal info.
    pub(crate) terminal_info: BestEffortShare,
    /// Short steps of bulk work: rows of imports, retention, audit exports.
    pub(crate) bulk: PoolShare,
    /// Imports that complete in one long transaction.
    pub(crate) long_imports: PoolShare,
}

impl PoolShares {
    /// The shares of a pool of this many connections.
    pub(crate) fn of(connections: usize) -> Self {
        let quarter = (connections / 4).max(1);
        let bulk = PoolShare::of(quarter);
        let terminal_info = if connections < 4 { bulk.clone() } else { PoolShare::of(connections / 3) };
        Self { terminal_info: BestEffortShare::of(terminal_info), bulk, long_imports: PoolShare::of(quarter.min(2)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(share: &PoolShare) -> usize {
        share.permits.available_permits()
    }

    #[test]
    fn the_shares_leave_connections_to_interactive_requests() {
        for connections in 3..200 {
            let shares = PoolShares::of(connections);
            let mut held: Vec<_> = std::iter::from_fn(|| shares.terminal_info.try_acquire()).collect();
            assert!(held.len() * 2 <= connections);
            held.extend(std::iter::from_fn(|| shares.bulk.try_acquire()));
            held.extend(std::iter::from_fn(|| shares.long_imports.try_acquire()));
            assert!(held.len() < connections, "{} of {connections}", held.len());
        }
    }

    #[test]
    fn the_smallest_pool_has_a_permit_for_each_kind_of_work() {
        let shares = PoolShares::of(1);
        assert_eq!((size(&shares.bulk), size(&shares.long_imports)), (1, 1));
        assert!(shares.terminal_info.try_acquire().is_some());
    }

    #[test]
    fn a_best_effort_update_without_a_permit_is_counted_once() {
        let share = BestEffortShare::of(PoolShare::of(1));
        let held = share.try_acquire();
        assert!(held.is_some() && share.try_acquire().is_none() && share.try_acquire().is_none());
        assert_eq!((share.take_dropped(), share.take_dropped()), (2, 0));
        drop(held);
        assert!(share.try_acquire().is_some());
    }
}
