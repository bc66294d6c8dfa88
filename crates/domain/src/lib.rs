//! Domain model of terminal activation: devices, pairing codes, tenancy and the audit trail.
//!
//! A [`Device`](crate::device::Device) goes `inactive → claimed → activated`, and back to `inactive` when it is released. An inactive device
//! may have one [`PairingCode`](crate::device::PairingCode), which a merchant types to claim it. Each rule of this life cycle is a method of
//! [`Device`](crate::device::Device). It takes the current time as an argument and returns a [`Transition`](crate::device::Transition) (the next state, the event that
//! records it, and the code that it invalidated) or a refusal that names the reason.
//!
//! The crate is pure: it has no I/O, no async code, no wire format, no clock and no source of randomness. The caller
//! passes the time and the random bits, so every rule can be tested to the microsecond.
//!
//! All instants are UTC in whole microseconds, the finest precision that every store preserves.

pub mod audit;
pub mod device;
pub mod fleet;
pub mod pairing;
pub mod shared;
pub mod tenancy;
