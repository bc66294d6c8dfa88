//! Devices and their events.

pub(crate) mod events;
pub(crate) mod save;
