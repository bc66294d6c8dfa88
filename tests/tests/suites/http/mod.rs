//! The API over real HTTP, on SQLite unless a test is about the store.

mod audit;
mod bad_bodies;
mod bad_headers;
mod bad_tokens;
mod claim_keys;
mod claim_limit;
mod disconnected_claims;
mod documented;
mod faults;
mod half_closed;
mod operations;
mod overload;
mod pacing;
mod pool_shares;
mod unfinished_bodies;
mod waiting;
mod wire;

use pos_tests::server::{Options, TestServer};
use pos_tests::stores::TestStore;

/// A server on a fresh SQLite file. The store goes when it is dropped.
async fn server() -> (TestStore, TestServer) {
    with(Options::default()).await
}

async fn with(options: Options) -> (TestStore, TestServer) {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), options);
    server.sign_in().await;
    (store, server)
}
