//! Stores behind the storage ports: PostgreSQL and SQLite, by diesel.

/// stub
#[derive(Debug, Clone, Copy, Default)]
pub struct PoolState {
    /// max
    pub max: usize,
    /// size
    pub size: usize,
    /// available
    pub available: usize,
    /// waiting
    pub waiting: usize,
}
/// stub
pub trait PoolMonitor: Send + Sync {
    /// state
    fn state(&self) -> PoolState;
}
