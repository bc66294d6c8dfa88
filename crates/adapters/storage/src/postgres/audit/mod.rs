//! Audit trail.

pub(crate) mod trail;
