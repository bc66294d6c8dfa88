//! Devices and their events.

pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod save;
mod saved_rows;
