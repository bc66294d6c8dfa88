//! Devices as their owners manage them, and bulk imports.

mod imports;
mod repository;

pub use imports::{
    FinalizeError, Import, ImportRef, ImportRepository, ImportStaging, ImportState, NewImport, PendingRow, RowDecision,
    RowResult, StagedRow, UnreadRow, UploadSummary,
};
pub use repository::{CreateDevicesError, DevicePage, FleetRepository};
