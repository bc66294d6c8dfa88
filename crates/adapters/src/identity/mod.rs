//! Identity providers behind the identity port.

pub mod oidc;
