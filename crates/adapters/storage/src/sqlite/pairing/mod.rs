//! Claim failures.

mod failures;
