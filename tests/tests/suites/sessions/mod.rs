//! Sessions over real HTTP, with the real verifier and the development issuer, on both engines.

mod bad_input;
mod clients;
mod initiate;
mod logout;
mod races;
mod replicas;
mod roles;
pub(crate) mod world;
