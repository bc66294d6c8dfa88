pub(crate) mod audit_insert;
mod health;
pub(crate) mod idempotency;
pub(crate) mod visibility;
