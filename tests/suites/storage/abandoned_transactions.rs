//! Rollback of transactions whose caller disconnected, or whose server lost its network to the database.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use pos_adapters::storage::{self, StorageOptions};
use pos_domain::device::{Device, DeviceDetails, Transition};
use pos_domain::shared::{AuditContext, DeviceId, Fingerprint, IdempotencyKey, MerchantId, Party, Scope};
use pos_port_storage::shared::IdempotencyRecord;
use pos_tests::postgres::TestDatabase;
use pos_tests::proxy::{LinkState, Proxy};
use pos_tests::server::TestServer;
use pos_tests::stores::{TestStore, options};
use reqwest::Method;
use serde_json::json;
use time::OffsetDateTime;
use tokio_postgres::{Client, Config, config::Host};

use crate::fleet::UserClient;
use crate::sessions::fixture::SessionFixture;

/// Upper bound for a rollback: far below the 30 s limits of the test stores.
const ROLLBACK_DEADLINE: Duration = Duration::from_secs(15);

/// Counts the stores' sessions in one state.
const IN_STATE: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pos-activation' AND state LIKE $1";
/// Counts the stores' sessions in one state that wait for a lock.
const BLOCKED: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pos-activation' AND wait_event_type = 'Lock' AND state LIKE $1";

/// Returns once `query` counts exactly `expected` sessions.
async fn wait_for_sessions(client: &Client, query: &str, state: &str, expected: i64) {
    let reached = async {
        while client.query_one(query, &[&state]).await.unwrap().get::<_, i64>(0) != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(ROLLBACK_DEADLINE, reached)
        .await
        .unwrap_or_else(|_| panic!("not {expected} sessions in {state}: {query}"));
}

fn create_request(caller: &UserClient<'_>) -> reqwest::RequestBuilder {
    caller.request(Method::POST, "/merchant/devices").header("Idempotency-Key", "k1").json(&json!({"label": "Till"}))
}

/// Sends the request of [`create_request`] over its own connection.
fn send_create(server: &TestServer, caller: &UserClient<'_>) -> TcpStream {
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

/// Resets a connection. After an orderly close the server would answer, as to a peer that only stopped sending.
fn reset(stream: TcpStream) {
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

/// The server cancels the running statement while its lock is still held elsewhere. The transaction ends with it and
/// frees the idempotency key.
#[tokio::test]
async fn a_caller_that_disconnects_leaves_no_transaction() {
    let fixture = SessionFixture::new(TestStore::postgres().await).await;
    let server: TestServer = fixture.server();
    let ann = UserClient::new(&fixture, &server, "ann").await;
    // Opens every connection of the pool, so that the next call does not need the abandoned one.
    futures_util::future::join_all((0..20).map(|_| ann.get("/merchant/devices"))).await;
    let (client, holder) = (fixture.store.client().await, fixture.store.client().await);
    for table in ["devices", "device_events"] {
        holder.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN SHARE MODE")).await.unwrap();
        let connection = send_create(&server, &ann);
        wait_for_sessions(&client, BLOCKED, "active", 1).await;
        reset(connection);
        wait_for_sessions(&client, BLOCKED, "active", 0).await;
        wait_for_sessions(&client, IN_STATE, "idle in transaction%", 0).await;
        holder.batch_execute("ROLLBACK").await.unwrap();
    }
    let again = tokio::time::timeout(ROLLBACK_DEADLINE, create_request(&ann).send())
        .await
        .expect("the idempotency key is free")
        .unwrap();
    assert_eq!((again.status().as_u16(), again.headers().get("idempotency-replayed")), (201, None));
    let replayed = create_request(&ann).send().await.unwrap();
    assert_eq!(
        (replayed.status().as_u16(), &replayed.headers()["idempotency-replayed"]),
        (201, &"true".parse().unwrap())
    );
    server.stop().await;
}

fn new_device() -> Transition {
    let merchant = MerchantId(uuid::Uuid::from_u128(0x1111));
    let now = OffsetDateTime::UNIX_EPOCH;
    Device::provision(DeviceId::from_bits(1), merchant, DeviceDetails::default(), AuditContext::operator(), now)
}

fn idempotency_record() -> IdempotencyRecord {
    IdempotencyRecord {
        party: Party::Merchant(new_device().device().merchant_id()),
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: "created".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH + time::Duration::HOUR,
    }
}

/// A proxy in front of the database, and the URL through it.
async fn through_proxy(database: &TestDatabase) -> (Proxy, String) {
    let config: Config = database.url().parse().unwrap();
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("the test server has no TCP host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let target = (host.as_str(), port).to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(target).await.unwrap();
    let url = format!("postgres://postgres@{}/{}", proxy.address(), database.name());
    (proxy, url)
}

/// The network drops every byte and the database sees no close. It still ends the transaction in time.
#[tokio::test]
async fn a_server_that_is_cut_off_releases_its_locks() {
    let database = TestDatabase::migrated().await;
    let (proxy, url) = through_proxy(&database).await;
    let short = StorageOptions { statement_timeout: Duration::from_secs(4), ..options(url.parse().unwrap()) };
    let cut_off = storage::open(&short).await.unwrap().storage;
    let other_replica = storage::open(&options(database.url().parse().unwrap())).await.unwrap().storage;
    pos_tests::users::add_merchant(&other_replica, new_device().device().merchant_id()).await;
    cut_off.health.ping().await.unwrap();
    let (client, holder) = (database.client().await, database.client().await);
    holder.batch_execute("BEGIN; LOCK TABLE devices IN SHARE MODE").await.unwrap();
    let creating = tokio::spawn(async move {
        cut_off.fleet.create(Scope::Operator, &[new_device()], Some(&idempotency_record())).await
    });
    wait_for_sessions(&client, BLOCKED, "active", 1).await;
    proxy.set(LinkState::Silent);
    holder.batch_execute("ROLLBACK").await.unwrap();
    wait_for_sessions(&client, IN_STATE, "idle in transaction", 1).await;
    let (new, record) = ([new_device()], idempotency_record());
    let created = other_replica.fleet.create(Scope::Operator, &new, Some(&record));
    tokio::time::timeout(ROLLBACK_DEADLINE, created).await.expect("the idempotency key is free in time").unwrap();
    assert!(creating.await.unwrap().is_err());
}
