//! Bulk import of devices over real HTTP, on both engines.

mod bad_requests;
mod files;
mod fixture;
mod idempotency;
mod interrupted_uploads;
mod memory;
mod refused_rows;
