//! Failed claims, and notifications of changed devices.

mod claim_failures;
mod notifier;

pub use claim_failures::ClaimFailureRepository;
pub use notifier::{DeviceChangeNotifier, DeviceSubscription, Wake};
