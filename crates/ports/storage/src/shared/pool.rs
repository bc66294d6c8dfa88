//! State of a connection pool, for metrics.

/// Reports the state of a connection pool, for metrics.
pub trait PoolMonitor: Send + Sync {
    /// Returns the current state. Does no I/O.
    fn state(&self) -> PoolState;

    /// Returns how many updates of terminal info were dropped since the last call, because their share of the pool was
    /// exhausted.
    fn take_dropped_updates(&self) -> u64 {
        0
    }
}

/// The state of a pool, in connections and callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolState {
    /// Maximum number of connections.
    pub max: usize,
    /// Open connections.
    pub size: usize,
    /// Idle connections among the open ones.
    pub available: usize,
    /// Callers that wait for a connection.
    pub waiting: usize,
}
