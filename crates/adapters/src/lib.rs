//! What stands around the application: actix handlers on one side; diesel storage, OpenID Connect, the system's clock
//! and its randomness on the other.
//!
//! Nothing here decides. A handler turns a request into typed values, calls one use case and renders its answer; a
//! store turns a transition into statements; an error is translated once, at the edge it crosses.

pub mod clock;
pub mod http;
pub mod identity;
pub mod import;
pub mod storage;
