//! Offline verification of access tokens of an OpenID Connect provider (Keycloak), with the provider's published keys.
//!
//! A token passes four checks, cheap ones first. Only a token that passes all of them names a principal:
//!
//! 1. `jwt`: it is a compact JWS with an accepted algorithm. This is checked before a key is selected, so a token cannot
//!    choose how it is verified (RFC 8725, sections 3.1 and 3.2).
//! 2. `claims`: it was issued by the configured issuer for this audience, as an access token, and is valid now.
//! 3. `keys`: it names one of the issuer's keys. Keys come only from discovery: header parameters that locate or contain
//!    a key (`jku`, `jwk`, `x5u`, `x5c`) are ignored.
//! 4. The signature, verified by `openidconnect`.
//!
//! A verified token is cached until it expires or the key set changes (`cache`).

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
