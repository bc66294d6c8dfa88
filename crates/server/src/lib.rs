//! The parts of the one binary: what it is told ([`settings`]) and what it tells ([`telemetry`]).

pub mod settings;
pub mod telemetry;
