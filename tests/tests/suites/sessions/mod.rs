//! Sessions over real HTTP, with the real verifier and the development issuer, on both engines.

mod acts;
mod bad_input;
mod clients;
mod ended_tokens;
mod initiate;
mod logout;
mod races;
mod replicas;
mod roles;
pub(crate) mod world;
