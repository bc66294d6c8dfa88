pub(crate) mod audit_insert;
pub(crate) mod idempotency;
pub(crate) mod instants;
