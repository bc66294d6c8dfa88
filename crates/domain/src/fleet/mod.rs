//! Bulk import of devices.

mod import;

pub use import::{ImportId, ImportMode, ImportedDevice, RowRefusal, UnknownImportMode};
