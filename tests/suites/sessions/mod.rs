//! Session suites over HTTP, with the OIDC verifier and the development issuer, on both engines.

mod bad_input;
mod clients;
pub(crate) mod fixture;
mod initiate;
mod logout;
mod races;
mod replicas;
mod revoked_tokens;
mod roles;
mod session_audit;
