use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use pos_domain::{Action, LocationId, MerchantId, Scope};
use pos_port_storage::{DirectoryRepository, LocationRepository, StorageError};

use crate::Mandate;

/// How many merchants and locations are remembered while rows are looked at. A file is about few of them, mostly in
/// runs; one that is about more costs a look-up more, not memory.
const REMEMBERED: usize = 10_000;

/// Looks up what rows name, each thing once where it can.
pub(super) struct Checks {
    mandate: Mandate,
    directory: Arc<dyn DirectoryRepository>,
    locations: Arc<dyn LocationRepository>,
    merchants_seen: HashMap<MerchantId, bool>,
    locations_seen: HashMap<LocationId, Option<MerchantId>>,
}

impl Checks {
    pub(super) fn new(
        mandate: Mandate,
        directory: Arc<dyn DirectoryRepository>,
        locations: Arc<dyn LocationRepository>,
    ) -> Self {
        Self { mandate, directory, locations, merchants_seen: HashMap::new(), locations_seen: HashMap::new() }
    }

    /// Whether the importer may import devices for a merchant: an operator for any that is there.
    pub(super) async fn may_import_for(&mut self, id: MerchantId) -> Result<bool, StorageError> {
        if let Some(known) = self.merchants_seen.get(&id) {
            return Ok(*known);
        }
        let found = self.directory.find_merchant(self.mandate.scope(), id).await?;
        let may = match self.mandate.scope() {
            Scope::Operator => found.is_some(),
            Scope::Of(_) => {
                found.is_some_and(|merchant| self.mandate.clone().over(&merchant).permit(Action::ImportDevices).is_ok())
            }
        };
        remember(&mut self.merchants_seen, id, may);
        Ok(may)
    }

    /// Whether a merchant has a location.
    pub(super) async fn is_at(&mut self, merchant: MerchantId, id: LocationId) -> Result<bool, StorageError> {
        if let Some(known) = self.locations_seen.get(&id) {
            return Ok(*known == Some(merchant));
        }
        let found = self.locations.find_location(self.mandate.scope(), id).await?;
        let whose = found.map(|location| location.merchant_id);
        remember(&mut self.locations_seen, id, whose);
        Ok(whose == Some(merchant))
    }
}

fn remember<K: Eq + Hash, V>(seen: &mut HashMap<K, V>, key: K, value: V) {
    if seen.len() >= REMEMBERED {
        seen.clear();
    }
    seen.insert(key, value);
}
