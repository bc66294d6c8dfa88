//! Poll intervals of terminals, and refused claims.

mod poll_interval;
mod refused_claim;

pub use poll_interval::PollInterval;
pub use refused_claim::{RefusedClaim, RefusedClaimReason};
