//! Access tokens of an OpenID Connect provider (Keycloak), verified offline with the provider's published keys.
//!
//! A token passes four doors, the cheap ones first, and only a token that passes all of them names a principal:
//!
//! 1. `jwt`: is it a compact JWS, of a family of algorithms we accept? No key has been looked at yet, so a token
//!    cannot choose how it is checked (RFC 8725, sections 3.1 and 3.2).
//! 2. `claims`: was it issued by our issuer, for us, as an access token, for this moment?
//! 3. `keys`: which of the issuer's own keys is meant? Keys come from discovery and nowhere else: whatever a token
//!    says about where to find or how to read its key (`jku`, `jwk`, `x5u`, `x5c`) is ignored.
//! 4. The signature, by `openidconnect`.
//!
//! What passed is remembered for as long as it stays valid and the key set is the same one (`cache`).

mod algorithm;
mod cache;
mod claims;
mod client_tokens;
#[cfg(test)]
mod fuzz;
mod jwt;
mod key_set;
mod keys;
mod logout;
mod provider;
mod rejection;
mod settings;
mod strict_json;
mod verifier;

pub use client_tokens::OidcClientTokens;
pub use settings::{OidcSettings, OidcSetupError};
pub use verifier::OidcVerifier;
