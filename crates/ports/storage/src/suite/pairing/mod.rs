pub mod claims;
pub mod failures;
