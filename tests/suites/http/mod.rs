//! API tests over real HTTP, on SQLite unless a test is about the store.

mod attempt_limit;
mod audit;
mod bad_bodies;
mod bad_headers;
mod bad_tokens;
mod claim_idempotency;
mod contract_examples;
mod disconnected_claims;
mod faults;
mod half_closed;
mod http_protocol;
mod long_polling;
mod operations;
mod overload;
mod pool_shares;
mod rate_limits;
mod unfinished_bodies;

use pos_tests::server::{Options, TestServer};
use pos_tests::stores::TestStore;

/// A server on a new SQLite file, which is deleted when the store is dropped.
async fn server() -> (TestStore, TestServer) {
    with(Options::default()).await
}

async fn with(options: Options) -> (TestStore, TestServer) {
    let store = TestStore::sqlite().await;
    let server = TestServer::start(store.opened(), options);
    server.seed_sessions().await;
    (store, server)
}
