//! The fake passes the suite that the adapters pass.

use std::sync::Arc;

use pos_port_storage::{InMemoryStore, Storage};

pos_port_storage::storage_suite!(Storage::of(Arc::new(InMemoryStore::default())));
