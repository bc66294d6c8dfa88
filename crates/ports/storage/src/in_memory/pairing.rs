//! In-memory fake of device change notifications: it counts changes, and every time-out elapses at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::shared::DeviceId;

use crate::InMemoryStore;
use crate::pairing::{DeviceChangeNotifier, DeviceSubscription, Wake};

/// Number of changes per device.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangeCounts(Arc<Mutex<HashMap<DeviceId, u64>>>);

impl ChangeCounts {
    pub(crate) fn increment(&self, id: &DeviceId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
    }

    fn of(&self, id: &DeviceId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or(0)
    }
}

struct CountingSubscription {
    counts: ChangeCounts,
    id: DeviceId,
    seen: u64,
}

#[async_trait]
impl DeviceSubscription for CountingSubscription {
    async fn changed(&mut self, _: Duration) -> Wake {
        let now = self.counts.of(&self.id);
        let wake = if now == self.seen { Wake::TimedOut } else { Wake::Changed };
        self.seen = now;
        wake
    }
}

impl DeviceChangeNotifier for InMemoryStore {
    fn subscribe(&self, id: &DeviceId) -> Option<Box<dyn DeviceSubscription>> {
        Some(Box::new(CountingSubscription { counts: self.3.clone(), id: id.clone(), seen: self.3.of(id) }))
    }
}
