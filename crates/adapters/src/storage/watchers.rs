//! Who in this process waits for word of which device.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::DeviceId;
use pos_port_storage::{Watch, Woken};
use tokio::sync::Notify;
use tokio::time::timeout;

/// How many may wait for one device: the terminal, and its next call when the one before was cut off unseen.
const OF_ONE_DEVICE: usize = 4;

/// The watches of one store.
#[derive(Clone)]
pub(super) struct Watchers(Arc<Inner>);

struct Inner {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    count: usize,
    by_device: HashMap<DeviceId, Vec<Arc<Notify>>>,
}

impl Watchers {
    /// At most `most` at once.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, waiting: Mutex::default() }))
    }

    pub(super) fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>> {
        let mut waiting = self.0.waiting();
        if waiting.count >= self.0.most {
            return None;
        }
        let of_device = waiting.by_device.entry(id.clone()).or_default();
        if of_device.len() >= OF_ONE_DEVICE {
            return None;
        }
        let notify = Arc::new(Notify::new());
        of_device.push(Arc::clone(&notify));
        waiting.count += 1;
        Some(Box::new(LocalWatch { id: id.clone(), notify, inner: Arc::clone(&self.0) }))
    }

    /// Word of one device.
    pub(super) fn wake(&self, id: &DeviceId) {
        // One permit each, kept for a watch that is not waiting just now.
        self.0.waiting().by_device.get(id).into_iter().flatten().for_each(|notify| notify.notify_one());
    }

    /// Word may have been missed: let everybody look.
    pub(super) fn wake_all(&self) {
        self.0.waiting().by_device.values().flatten().for_each(|notify| notify.notify_one());
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LocalWatch {
    id: DeviceId,
    notify: Arc<Notify>,
    inner: Arc<Inner>,
}

#[async_trait]
impl Watch for LocalWatch {
    async fn changed(&mut self, at_most: Duration) -> Woken {
        match timeout(at_most, self.notify.notified()).await {
            Ok(()) => Woken::ByChange,
            Err(_) => Woken::ByTime,
        }
    }
}

impl Drop for LocalWatch {
    fn drop(&mut self) {
        let mut waiting = self.inner.waiting();
        if let Entry::Occupied(mut of_device) = waiting.by_device.entry(self.id.clone()) {
            of_device.get_mut().retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if of_device.get().is_empty() {
                of_device.remove();
            }
        }
        waiting.count = waiting.count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_watch_hears_of_its_device_only() {
        let watchers = Watchers::new(10);
        let mut one = watchers.watch(&DeviceId::from_bits(1)).unwrap();
        let mut other = watchers.watch(&DeviceId::from_bits(2)).unwrap();
        watchers.wake(&DeviceId::from_bits(1));
        assert_eq!(one.changed(LONG).await, Woken::ByChange);
        assert_eq!(other.changed(Duration::ZERO).await, Woken::ByTime);
        assert_eq!(one.changed(Duration::ZERO).await, Woken::ByTime, "it was told once");
        watchers.wake_all();
        assert_eq!((one.changed(LONG).await, other.changed(LONG).await), (Woken::ByChange, Woken::ByChange));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let watchers = Watchers::new(6);
        let of = |bits| watchers.watch(&DeviceId::from_bits(bits));
        let mut held: Vec<_> = (0..OF_ONE_DEVICE).map(|_| of(1).unwrap()).collect();
        assert!(of(1).is_none(), "one device has its own bound");
        held.extend([of(2).unwrap(), of(3).unwrap()]);
        assert!(of(4).is_none(), "all together have one");
        held.pop();
        held.push(of(4).unwrap());
        drop(held);
        let waiting = watchers.0.waiting();
        assert_eq!((waiting.count, waiting.by_device.len()), (0, 0), "nothing is left over");
    }
}
