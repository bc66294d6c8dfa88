//! Checks of the merchants and locations of rows, with a cache.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use pos_domain::shared::{LocationId, MerchantId, Scope};
use pos_domain::tenancy::Action;
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::{DirectoryRepository, LocationRepository};

use crate::support::Authorization;

/// Capacity of each cache. A file usually names few merchants and locations, mostly in runs; a file with more costs further
/// look-ups, not memory.
const CACHE_CAPACITY: usize = 10_000;

/// Looks up the merchants and locations that rows name, each once if it fits the cache.
pub(crate) struct Checks {
    authorization: Authorization,
    directory: Arc<dyn DirectoryRepository>,
    locations: Arc<dyn LocationRepository>,
    merchants: HashMap<MerchantId, bool>,
    location_merchants: HashMap<LocationId, Option<MerchantId>>,
}

impl Checks {
    pub(crate) fn new(
        authorization: Authorization,
        directory: Arc<dyn DirectoryRepository>,
        locations: Arc<dyn LocationRepository>,
    ) -> Self {
        Self { authorization, directory, locations, merchants: HashMap::new(), location_merchants: HashMap::new() }
    }

    /// Whether the caller may import devices for a merchant; an operator may for any that exists.
    pub(crate) async fn may_import_for(&mut self, id: MerchantId) -> Result<bool, StorageError> {
        if let Some(known) = self.merchants.get(&id) {
            return Ok(*known);
        }
        let found = self.directory.find_merchant(self.authorization.scope(), id).await?;
        let may = match self.authorization.scope() {
            Scope::Operator => found.is_some(),
            Scope::Of(_) => found.is_some_and(|merchant| {
                self.authorization.clone().for_merchant(&merchant).authorize(Action::ImportDevices).is_ok()
            }),
        };
        insert_bounded(&mut self.merchants, id, may);
        Ok(may)
    }

    /// Whether a merchant has a location.
    pub(crate) async fn is_at(&mut self, merchant: MerchantId, id: LocationId) -> Result<bool, StorageError> {
        if let Some(known) = self.location_merchants.get(&id) {
            return Ok(*known == Some(merchant));
        }
        let found = self.locations.find_location(self.authorization.scope(), id).await?;
        let owner = found.map(|location| location.merchant_id);
        insert_bounded(&mut self.location_merchants, id, owner);
        Ok(owner == Some(merchant))
    }
}

fn insert_bounded<K: Eq + Hash, V>(cache: &mut HashMap<K, V>, key: K, value: V) {
    if cache.len() >= CACHE_CAPACITY {
        cache.clear();
    }
    cache.insert(key, value);
}
