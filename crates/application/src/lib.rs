//! Use cases of the system, one per file.
//!
//! A use case gets typed values, loads one aggregate through a port, lets `pos-domain` decide, saves the result and returns a
//! value. It knows nothing of HTTP or SQL and has no state except its ports, so one value serves all requests concurrently.
//!
//! The store detects races: saving a device that was modified meanwhile is a conflict, and the use case retries with a fresh
//! device. So the results are those of some serial order of the requests.

pub mod audit;
pub mod fleet;
pub mod pairing;
pub mod support;
pub mod tenancy;
#[cfg(feature = "test-support")]
pub mod test_support;
mod use_cases;

pub use use_cases::{
    AuditUseCases, FleetUseCases, IdentityPorts, PairingUseCases, Ports, Rules, SessionUseCases, TenancyUseCases,
    UseCases,
};
