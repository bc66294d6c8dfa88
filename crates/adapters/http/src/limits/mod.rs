//! Limits on callers: rate limiter, concurrency limits with load shedding, pending bodies.

pub(crate) mod admission;
pub(crate) mod concurrency_limit;
pub(crate) mod pending_bodies;
pub(crate) mod rate_limiter;
