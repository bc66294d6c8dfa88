//! Token verification over HTTP: the OpenID Connect verifier against the development issuer and a failing provider.

mod bad_tokens;
mod client_tokens;
mod dev_idp;
mod expiry;
mod fake_provider;
mod key_refresh;
mod provider_faults;
pub(crate) mod support;
