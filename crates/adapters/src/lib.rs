//! Adapters behind the ports, one crate each: HTTP, storage, identity, import files, clock.
//!
//! Nothing here decides. A handler turns a request into typed values, calls one use case and renders the result; a store
//! turns a transition into statements; an error is translated once, where it crosses a crate.

pub use pos_adapter_clock as clock;
pub use pos_adapter_http as http;
pub use pos_adapter_identity as identity;
pub use pos_adapter_import as import;
pub use pos_adapter_storage as storage;
