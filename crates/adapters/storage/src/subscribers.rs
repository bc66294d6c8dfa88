//! Subscriptions of this process to device changes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::shared::DeviceId;
use pos_port_storage::pairing::{DeviceSubscription, Wake};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Maximum number of subscriptions per device: the terminal, and its next calls while a lost connection is not detected yet.
const MAX_PER_DEVICE: usize = 4;

/// The subscriptions of one store.
#[derive(Clone)]
pub(crate) struct Subscribers(Arc<Inner>);

struct Inner {
    max: usize,
    subscriptions: Mutex<Subscriptions>,
}

#[derive(Default)]
struct Subscriptions {
    count: usize,
    by_device: HashMap<DeviceId, Vec<Arc<Notify>>>,
}

impl Subscribers {
    /// Allows at most `max` subscriptions at once.
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max, subscriptions: Mutex::default() }))
    }

    /// Subscribes to a device. `None` if a limit is reached.
    pub(crate) fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        let mut subscriptions = self.0.subscriptions();
        if subscriptions.count >= self.0.max {
            return None;
        }
        let of_device = subscriptions.by_device.entry(id.clone()).or_default();
        if of_device.len() >= MAX_PER_DEVICE {
            return None;
        }
        let notify = Arc::new(Notify::new());
        of_device.push(Arc::clone(&notify));
        subscriptions.count += 1;
        Some(Box::new(LocalSubscription { id: id.clone(), notify, inner: Arc::clone(&self.0) }))
    }

    /// Notifies the subscribers of a device.
    pub(crate) fn wake(&self, id: &DeviceId) {
        // One permit each, stored for a subscription that is not waiting at the moment.
        self.0.subscriptions().by_device.get(id).into_iter().flatten().for_each(|notify| notify.notify_one());
    }

    /// Notifies all subscribers, after notifications may have been missed.
    pub(crate) fn wake_all(&self) {
        self.0.subscriptions().by_device.values().flatten().for_each(|notify| notify.notify_one());
    }
}

impl Inner {
    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LocalSubscription {
    id: DeviceId,
    notify: Arc<Notify>,
    inner: Arc<Inner>,
}

#[async_trait]
impl DeviceSubscription for LocalSubscription {
    async fn changed(&mut self, at_most: Duration) -> Wake {
        match timeout(at_most, self.notify.notified()).await {
            Ok(()) => Wake::Changed,
            Err(_) => Wake::TimedOut,
        }
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        let mut subscriptions = self.inner.subscriptions();
        if let Entry::Occupied(mut of_device) = subscriptions.by_device.entry(self.id.clone()) {
            of_device.get_mut().retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if of_device.get().is_empty() {
                of_device.remove();
            }
        }
        subscriptions.count = subscriptions.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_subscription_is_notified_of_its_device_only() {
        let subscribers = Subscribers::new(10);
        let mut one = subscribers.subscribe(&DeviceId::from_bits(1)).unwrap();
        let mut other = subscribers.subscribe(&DeviceId::from_bits(2)).unwrap();
        subscribers.wake(&DeviceId::from_bits(1));
        assert_eq!(one.changed(LONG).await, Wake::Changed);
        assert_eq!(other.changed(Duration::ZERO).await, Wake::TimedOut);
        assert_eq!(one.changed(Duration::ZERO).await, Wake::TimedOut, "it was notified once");
        subscribers.wake_all();
        assert_eq!((one.changed(LONG).await, other.changed(LONG).await), (Wake::Changed, Wake::Changed));
    }

    #[test]
    fn subscriptions_are_limited_per_device_and_in_total() {
        let subscribers = Subscribers::new(6);
        let of = |bits| subscribers.subscribe(&DeviceId::from_bits(bits));
        let mut held: Vec<_> = (0..MAX_PER_DEVICE).map(|_| of(1).unwrap()).collect();
        assert!(of(1).is_none(), "the limit per device");
        held.extend([of(2).unwrap(), of(3).unwrap()]);
        assert!(of(4).is_none(), "the total limit");
        held.pop();
        held.push(of(4).unwrap());
        drop(held);
        let subscriptions = subscribers.0.subscriptions();
        assert_eq!((subscriptions.count, subscriptions.by_device.len()), (0, 0), "nothing is left over");
    }
}
