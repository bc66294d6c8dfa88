//! Devices and their events.

pub(crate) mod devices;
pub(crate) mod events;
