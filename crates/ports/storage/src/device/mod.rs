//! Devices, their pairing codes and their events.

mod events;
mod repository;

pub use events::{DeviceEventLog, DeviceEventPage, DeviceHistory, EventPosition};
pub use repository::DeviceRepository;
