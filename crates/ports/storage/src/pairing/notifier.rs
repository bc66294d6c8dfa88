//! Device change notifications: wakes waiting terminals when a device's status changes.

use std::time::Duration;

use async_trait::async_trait;
use pos_domain::shared::DeviceId;

/// Notifies subscribers when a device changes, whichever replica changed it, so that a waiting terminal learns of its
/// claim at once.
///
/// Notifications may be late or spurious: a subscriber reads the device after each wake-up, and also after a time-out.
pub trait DeviceChangeNotifier: Send + Sync {
    /// Subscribes to one device from now on. Returns `None` if there are too many subscriptions to the device or in
    /// total; the caller then works without one.
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>>;
}

/// Subscription to one device. It ends when it is dropped.
#[async_trait]
pub trait DeviceSubscription: Send {
    /// Returns when the device may have changed since the subscription started or since the last return, at the latest
    /// after `at_most`.
    async fn changed(&mut self, at_most: Duration) -> Wake;
}

/// Why the wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// The device may have changed.
    Changed,
    /// The time-out elapsed.
    TimedOut,
}
