mod failures;
pub(crate) mod notifier;
pub(crate) mod refusals;
