//! Contract suite of the storage ports, run against the in-memory fake.

use std::sync::Arc;

use pos_port_storage::{InMemoryStore, Storage};

pos_port_storage::storage_suite!(Storage::of(Arc::new(InMemoryStore::default())));
