//! Claims whose caller disconnects before the response: after the commit, the waiting terminal is notified.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::device::{Device, DeviceStatus, PairingCode, PastCode, TerminalInfo, Transition};
use pos_domain::shared::DeviceId;
use pos_port_storage::device::DeviceRepository;
use pos_port_storage::shared::IdempotencyRecord;
use pos_port_storage::shared::{SaveError, SaveIdempotentError, StorageError};
use pos_tests::postgres::TestDatabase;
use pos_tests::server::{Answer, TestServer};
use pos_tests::stores::{options, sqlite_url};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::long_polling::{LONG_WAIT, poll, settings, wait_for_one_held_request};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A device repository that notifies when `save` is called and when the call is dropped.
struct ObservedDevices {
    inner: Arc<dyn DeviceRepository>,
    called: Arc<Notify>,
    abandoned: Arc<Notify>,
}

struct NotifyOnDrop<'n>(Option<&'n Notify>);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.into_iter().for_each(Notify::notify_one);
    }
}

#[async_trait]
impl DeviceRepository for ObservedDevices {
    async fn find(&self, id: &DeviceId) -> Result<Option<Device>, StorageError> {
        self.inner.find(id).await
    }
    async fn find_by_pairing_code(&self, code: PairingCode) -> Result<Option<Device>, StorageError> {
        self.inner.find_by_pairing_code(code).await
    }
    async fn find_past_code(&self, code: PairingCode) -> Result<Option<PastCode>, StorageError> {
        self.inner.find_past_code(code).await
    }
    async fn save(&self, transition: &Transition) -> Result<(), SaveError> {
        self.called.notify_one();
        let mut guard = NotifyOnDrop(Some(&self.abandoned));
        let outcome = self.inner.save(transition).await;
        guard.0 = None;
        outcome
    }
    async fn save_idempotent(
        &self,
        transition: &Transition,
        record: &IdempotencyRecord,
    ) -> Result<(), SaveIdempotentError> {
        self.called.notify_one();
        let mut guard = NotifyOnDrop(Some(&self.abandoned));
        let outcome = self.inner.save_idempotent(transition, record).await;
        guard.0 = None;
        outcome
    }
    async fn update_terminal_info(&self, id: &DeviceId, terminal_info: &TerminalInfo) -> Result<(), StorageError> {
        self.inner.update_terminal_info(id, terminal_info).await
    }
}

/// Blocks a claim's save in the database while it is in progress.
#[async_trait(?Send)]
trait SaveBlocker {
    async fn block(&mut self);
    async fn wait_until_blocked(&mut self, opened: &OpenedStorage);
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

    async fn wait_for_session(&self, condition: &str) {
        let query = format!("SELECT FROM pg_stat_activity WHERE datname = current_database() AND {condition}");
        let client = self.database.client().await;
        let found = async {
            while client.query(&query, &[]).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, found).await.unwrap_or_else(|_| panic!("no session with {condition}"));
    }
}

#[async_trait(?Send)]
impl SaveBlocker for Postgres {
    async fn block(&mut self) {
        // A listener that starts late wakes all subscribers when it starts, so it must have started.
        self.wait_for_session("query LIKE 'LISTEN%' AND state = 'idle'").await;
        self.holder.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    }
    async fn wait_until_blocked(&mut self, _: &OpenedStorage) {
        self.wait_for_session("wait_event = 'PgSleep'").await;
    }
    async fn release(&mut self) {
        self.holder.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    }
}

struct Sqlite(SqliteConnection);

#[async_trait(?Send)]
impl SaveBlocker for Sqlite {
    async fn block(&mut self) {
        self.0.batch_execute("BEGIN IMMEDIATE").unwrap();
    }
    async fn wait_until_blocked(&mut self, opened: &OpenedStorage) {
        let started = async {
            // The save has taken the writer; one or two idle readers are left.
            while opened.pool.state().available >= opened.pool.state().size {
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, started).await.expect("the writer is taken");
    }
    async fn release(&mut self) {
        self.0.batch_execute("COMMIT").unwrap();
    }
}

/// Sends a claim, and resets the connection once its save is blocked.
async fn claim_and_reset(server: &TestServer, code: &str, blocked: impl Future<Output = ()>) {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    let body = json!({ "pairing_code": code }).to_string();
    let head = "POST /pos/claim HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ann\r\nContent-Type: application/json";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    blocked.await;
    stream.set_nonblocking(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap();
}

async fn the_terminal_is_notified(opened: OpenedStorage, mut blocker: impl SaveBlocker) {
    let (called, abandoned) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mut watched = opened.clone();
    let inner = opened.storage.devices.clone();
    watched.storage.devices = Arc::new(ObservedDevices { inner, called: called.clone(), abandoned: abandoned.clone() });
    let server = TestServer::start(&watched, settings());
    // A claim that was cancelled before its statement was sent is not committed and notifies nobody, so try again.
    for _ in 0..10 {
        let device = server.device().await;
        let code = server.code(&device).await;
        let response = poll(&server, &device, LONG_WAIT);
        let claiming = async {
            wait_for_one_held_request(&server).await;
            blocker.block().await;
            // The first call is the save of the pairing code.
            timeout(TIMEOUT, called.notified()).await.expect("the code is saved");
            let blocked = async {
                timeout(TIMEOUT, called.notified()).await.expect("the claim is saved");
                blocker.wait_until_blocked(&opened).await;
            };
            claim_and_reset(&server, &code, blocked).await;
            timeout(TIMEOUT, abandoned.notified()).await.expect("the caller's request is dropped");
            blocker.release().await;
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
        tokio::pin!(response, claiming);
        // The response may arrive before the claim is found in the store.
        let (early, claimed) = tokio::select! {
            claimed = &mut claiming => (None, claimed),
            early = &mut response => (Some(early), claiming.await),
        };
        if claimed {
            let answer: Answer = match early {
                Some(early) => early,
                None => timeout(TIMEOUT, response).await.expect("only a notification ends the wait"),
            };
            assert_eq!((answer.status.as_u16(), &answer.json()["is_claimed"]), (200, &true.into()), "{answer:?}");
            return;
        }
    }
    panic!("no claim was committed");
}

async fn on_postgres(batching: bool) {
    let blocker = Postgres::new().await;
    let url = blocker.database.url().parse().unwrap();
    let opened = storage::open(&StorageOptions { batching, ..options(url) }).await.unwrap();
    the_terminal_is_notified(opened, blocker).await;
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
