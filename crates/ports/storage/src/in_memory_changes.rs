//! The fake's part for those who wait: it counts changes, and time passes at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pos_domain::DeviceId;

use crate::{DeviceChanges, InMemoryStore, Watch, Woken};

/// How often each device changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChangeCounts(Arc<Mutex<HashMap<DeviceId, u64>>>);

impl ChangeCounts {
    pub(crate) fn changed(&self, id: &DeviceId) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(id.clone()).or_default() += 1;
    }

    fn of(&self, id: &DeviceId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied().unwrap_or(0)
    }
}

struct CountWatch {
    counts: ChangeCounts,
    id: DeviceId,
    seen: u64,
}

#[async_trait]
impl Watch for CountWatch {
    async fn changed(&mut self, _: Duration) -> Woken {
        let now = self.counts.of(&self.id);
        let woken = if now == self.seen { Woken::ByTime } else { Woken::ByChange };
        self.seen = now;
        woken
    }
}

impl DeviceChanges for InMemoryStore {
    fn watch(&self, id: &DeviceId) -> Option<Box<dyn Watch>> {
        Some(Box::new(CountWatch { counts: self.3.clone(), id: id.clone(), seen: self.3.of(id) }))
    }
}
