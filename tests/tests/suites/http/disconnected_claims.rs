//! A claim whose caller disconnects before its answer: once it is committed, the waiting terminal is notified.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::{Device, DeviceId, DeviceStatus, EndedCode, PairingCode, Sighting, Transition};
use pos_port_storage::{DeviceRepository, Once, SaveError, SaveOnceError, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::server::{Answer, TestServer};
use pos_tests::stores::{options, sqlite_url};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::waiting::{PATIENT, settings, until_one_waits, wait};

const SOON: Duration = Duration::from_secs(30);

/// Devices that notice when `save` is called, and when its caller goes away.
struct Noticing {
    inner: Arc<dyn DeviceRepository>,
    called: Arc<Notify>,
    abandoned: Arc<Notify>,
}

struct Abandoned<'n>(Option<&'n Notify>);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.into_iter().for_each(Notify::notify_one);
    }
}

#[async_trait]
impl DeviceRepository for Noticing {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        self.inner.find(id).await
    }
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        self.inner.find_by_pairing_code(code).await
    }
    async fn find_ended_code(&self, code: PairingCode) -> Result<Option<EndedCode>, StorageError> {
        self.inner.find_ended_code(code).await
    }
    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.called.notify_one();
        let mut guard = Abandoned(Some(&self.abandoned));
        let outcome = self.inner.save(transition).await;
        guard.0 = None;
        outcome
    }
    async fn save_once(&self, transition: &Transition, once: &Once) -> Result<(), SaveOnceError> {
        self.called.notify_one();
        let mut guard = Abandoned(Some(&self.abandoned));
        let outcome = self.inner.save_once(transition, once).await;
        guard.0 = None;
        outcome
    }
    async fn record_sighting(&self, id: &DeviceId, sighting: &Sighting) -> Result<(), StorageError> {
        self.inner.record_sighting(id, sighting).await
    }
}

/// What holds a claim's save up once it is under way.
#[async_trait(?Send)]
trait Brake {
    async fn hold(&mut self);
    async fn until_under_way(&mut self, opened: &OpenedStorage);
    async fn release(&mut self);
}

struct Postgres {
    database: TestDatabase,
    holder: Client,
}

impl Postgres {
    async fn new() -> Self {
        let database = TestDatabase::migrated().await;
        let holder = database.client().await;
        let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                WHILE NOT pg_try_advisory_xact_lock(42) LOOP PERFORM pg_sleep(0.005); END LOOP;
                RETURN NEW;
            END $$;
            CREATE TRIGGER slow BEFORE UPDATE ON devices FOR EACH ROW WHEN (NEW.status = 'claimed')
                EXECUTE FUNCTION slow()";
        holder.batch_execute(slow).await.unwrap();
        Self { database, holder }
    }

    async fn until(&self, condition: &str) {
        let query = format!("SELECT FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
        let client = self.database.client().await;
        let seen = async {
            while client.query(&query, &[]).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, seen).await.unwrap_or_else(|_| panic!("no session with {condition}"));
    }
}

#[async_trait(?Send)]
impl Brake for Postgres {
    async fn hold(&mut self) {
        // A listener that is late wakes everybody when it begins.
        self.until("query LIKE 'LISTEN%' AND state = 'idle'").await;
        self.holder.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    }
    async fn until_under_way(&mut self, _: &OpenedStorage) {
        self.until("wait_event = 'PgSleep'").await;
    }
    async fn release(&mut self) {
        self.holder.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    }
}

struct Sqlite(SqliteConnection);

#[async_trait(?Send)]
impl Brake for Sqlite {
    async fn hold(&mut self) {
        self.0.batch_execute("BEGIN IMMEDIATE").unwrap();
    }
    async fn until_under_way(&mut self, opened: &OpenedStorage) {
        let begun = async {
            // The writer is taken for the save, and an idle reader or two are left.
            while opened.pool.state().available >= opened.pool.state().size {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, begun).await.expect("the writer is taken");
    }
    async fn release(&mut self) {
        self.0.batch_execute("COMMIT").unwrap();
    }
}

/// Sends a claim, and resets the connection once its save is under way.
async fn claim_and_reset(server: &TestServer, code: &str, under_way: impl Future<Output = ()>) {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let body = json!({ "pairing_code": code }).to_string();
    let head = "POST /pos/claim HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ann\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    under_way.await;
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

async fn the_terminal_is_notified(opened: OpenedStorage, mut brake: impl Brake) {
    let (called, abandoned) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut watched = opened.clone();
    let inner = opened.storage.devices.clone();
    watched.storage.devices = Arc::new(Noticing { inner, called: called.clone(), abandoned: abandoned.clone() });
    let server = TestServer::start(&watched, settings());
    // A claim that was given up before it was sent is not made, and says nothing.
    for _ in 0..10 {
        let device = server.device().await;
        let code = server.code(&device).await;
        let seen = wait(&server, &device, PATIENT);
        let claiming = async {
            until_one_waits(&server).await;
            brake.hold().await;
            // Of the code that was requested.
            timeout(SOON, called.notified()).await.expect("the code is saved");
            let under_way = async {
                timeout(SOON, called.notified()).await.expect("the claim is saved");
                brake.until_under_way(&opened).await;
            };
            claim_and_reset(&server, &code, under_way).await;
            timeout(SOON, abandoned.notified()).await.expect("the caller's request is dropped");
            brake.release().await;
            let id = DeviceId::parse(&device).unwrap();
            let is_claimed =
                async || opened.storage.devices.find(&id).await.unwrap().unwrap().status() == DeviceStatus::Claimed;
            for _ in 0..500 {
                if is_claimed().await {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            false
        };
        tokio::pin!(seen, claiming);
        // The answer may be there before the claim is looked for.
        let (early, claimed) = tokio::select! {
            claimed = &mut claiming => (None, claimed),
            early = &mut seen => (Some(early), claiming.await),
        };
        if claimed {
            let seen: Answer = match early {
                Some(early) => early,
                None => timeout(SOON, seen).await.expect("only a notification ends the wait"),
            };
            assert_eq!((seen.status.as_u16(), &seen.json()["is_claimed"]), (200, &true.into()), "{seen:?}");
            return;
        }
    }
    panic!("no claim was committed");
}

async fn on_postgres(gather: bool) {
    let brake = Postgres::new().await;
    let url = brake.database.url().parse().unwrap();
    let opened = storage::open(&StorageOptions { gather, ..options(url) }).await.unwrap();
    the_terminal_is_notified(opened, brake).await;
}

#[tokio::test]
async fn on_postgres_when_saves_are_batched() {
    on_postgres(true).await;
}

#[tokio::test]
async fn on_postgres_when_each_save_is_a_statement() {
    on_postgres(false).await;
}

#[tokio::test]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    storage::migrate(&options(sqlite_url(&folder))).await.unwrap();
    let opened = storage::open(&options(sqlite_url(&folder))).await.unwrap();
    let other = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    the_terminal_is_notified(opened, Sqlite(other)).await;
}
