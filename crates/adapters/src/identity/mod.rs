//! Identity providers and secrets behind the identity port.

mod argon2_hasher;
pub mod oidc;

pub use argon2_hasher::Argon2Hasher;
