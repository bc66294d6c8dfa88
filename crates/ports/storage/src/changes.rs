use std::time::Duration;

use async_trait::async_trait;
use pos_domain::DeviceId;

/// Tells when devices change state, whichever replica changed them, so that a waiting terminal hears of its claim at
/// once.
///
/// It may tell late, or of nothing: whoever hears of a change looks, and whoever hears of none looks too, now and then.
pub trait DeviceChanges: Send + Sync {
    /// A watch on one device from this moment on. `None` when too many watch it, or too many watch at all: the caller
    /// does without.
    fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>>;
}

/// An open watch on one device. It ends when it is dropped.
#[async_trait]
pub trait Watch: Send {
    /// Returns once the device may have changed since the watch began, or since this last returned; at the latest after
    /// `at_most`.
    async fn changed(&mut self, at_most: Duration) -> Woken;
}

/// Why a watch returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The device may have changed.
    ByChange,
    /// The time was up.
    ByTime,
}
