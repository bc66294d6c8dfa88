//! Transactions whose caller went away, or whose server was cut off from the database: rolled back at once, or in time.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use pos_adapters::storage::{self, StorageOptions};
use pos_domain::{
    Act, Device, DeviceDetails, DeviceId, Fingerprint, IdempotencyKey, MerchantId, Party, Scope, Transition,
};
use pos_port_storage::Once;
use pos_tests::postgres::TestDatabase;
use pos_tests::proxy::{Line, Proxy};
use pos_tests::server::TestServer;
use pos_tests::stores::{TestStore, options};
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;
use tokio_postgres::{Client, Config, config::Host};

use crate::fleet::Caller;
use crate::sessions::world::World;

/// Far less than the limits of the test's stores (30 s), which is how long an abandoned transaction must not last.
const SOON: Duration = Duration::from_secs(15);

/// The sessions of stores, in this state.
const IN_STATE: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pos-activation' AND state LIKE $1";
const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pos-activation' AND wait_event_type = 'Lock' AND state LIKE $1";

/// Returns once so many of the stores' sessions are as the query has it.
async fn until(client: &Client, query: &str, state: &str, expected: i64) {
    let seen = async {
        while client.query_one(query, &[&state]).await.unwrap().get::<_, i64>(0) != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap_or_else(|_| panic!("not {expected} sessions in {state}: {query}"));
}

fn create(caller: &Caller<'_>) -> reqwest::RequestBuilder {
    caller.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "k1").json(&json!({"label": "Till"}))
}

/// Sends that request by a connection of its own.
fn begin(server: &TestServer, caller: &Caller<'_>) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let body = json!({"label": "Till"}).to_string();
    write!(
        stream,
        "POST /merchant/devices HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\nIdempotency-Key: k1\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        caller.token,
        body.len()
    )
    .unwrap();
    stream
}

/// Resets a connection: after an orderly close the server would answer, as to a peer that has only stopped sending.
fn reset(stream: TcpStream) {
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

/// The statement under way is ended while what it waits for is still locked, and with it the transaction, which holds the
/// idempotency key.
#[tokio::test]
async fn a_caller_that_disconnects_leaves_no_transaction() {
    let world = World::on(TestStore::postgres().await).await;
    let server: TestServer = world.server();
    let ann = Caller::new(&world, &server, "ann").await;
    // All connections of the pool are there, so that the next call need not get the abandoned one.
    futures_util::future::join_all((0..20).map(|_| ann.get("/merchant/devices"))).await;
    let (client, holder) = (world.store.client().await, world.store.client().await);
    for table in ["devices", "device_events"] {
        holder.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await.unwrap();
        let calling = begin(&server, &ann);
        until(&client, BLOCKED, "active", 1).await;
        reset(calling);
        until(&client, BLOCKED, "active", 0).await;
        until(&client, IN_STATE, "idle in transaction%", 0).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    }
    let again = tokio::time::timeout(SOON, create(&ann).send()).await.expect("the key is free").unwrap();
    assert_eq!((again.status().as_u16(), again.headers().get("idempotency-replayed")), (201, None));
    let replayed = create(&ann).send().await.unwrap();
    assert_eq!(
        (replayed.status().as_u16(), &replayed.headers()["idempotency-replayed"]),
        (201, &"true".parse().unwrap())
    );
    server.stop().await;
}

fn new_device() -> Transition {
    let merchant = MerchantId(uuid::Uuid::from_u128(0x1111));
    let now = OffsetDateTime::UNIX_EPOCH;
    Device::provision(DeviceId::from_bits(1), merchant, DeviceDetails::default(), Act::operator(), now)
}

fn once() -> Once {
    Once {
        party: Party::Merchant(new_device().device().merchant_id()),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: "created".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        keep_until: OffsetDateTime::UNIX_EPOCH + time::Duration::HOUR,
    }
}

/// The same database, through a proxy.
async fn behind_proxy(database: &TestDatabase) -> (Proxy, String) {
    let config: Config = database.url().parse().unwrap();
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("the test server has no TCP host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let target = (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(target).await.unwrap();
    let url = format!("postgres://postgres@{}/{}", proxy.address(), database.name());
    (proxy, url)
}

/// Not a byte of it arrives any more, and nobody tells the database: its transaction ends all the same.
#[tokio::test]
async fn a_server_that_is_cut_off_releases_its_locks() {
    let database = TestDatabase::migrated().await;
    let (proxy, url) = behind_proxy(&database).await;
    let short = StorageOptions { statement_timeout: Duration::from_secs(4), ..options(url.parse().unwrap()) };
    let cut_off = storage::open(&short).await.unwrap().storage;
    let near = storage::open(&options(database.url().parse().unwrap())).await.unwrap().storage;
    pos_tests::people::add_merchant(&near, new_device().device().merchant_id()).await;
    cut_off.health.ping().await.unwrap();
    let (client, holder) = (database.client().await, database.client().await);
    holder.batch_execute("BEGIN; LOCK TABLE devices IN SHARE MODE").await.unwrap();
    let creating =
        tokio::spawn(async move { cut_off.fleet.create(Scope::Operator, &[new_device()], Some(&once())).await });
    until(&client, BLOCKED, "active", 1).await;
    proxy.set(Line::Silent);
    holder.batch_execute("ROLLBACK").await.unwrap();
    until(&client, IN_STATE, "idle in transaction", 1).await;
    let (new, once) = ([new_device()], once());
    let created = near.fleet.create(Scope::Operator, &new, Some(&once));
    tokio::time::timeout(SOON, created).await.expect("the key is free in time").unwrap();
    assert!(creating.await.unwrap().is_err());
}
