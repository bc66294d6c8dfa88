//! Request log, metrics, trace ids.

pub(crate) mod call_log;
pub(crate) mod metrics;
pub(crate) mod throttled_log;
pub(crate) mod trace_id;
