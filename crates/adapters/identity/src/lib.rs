//! Implementations of the identity port.

pub mod oidc;
