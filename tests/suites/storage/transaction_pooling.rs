//! PostgreSQL through PgBouncer in transaction pooling mode.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, StorageOptions};
use pos_domain::device::{Device, DeviceDetails, PairingCode, Transition};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, RequestContext, Scope};
use pos_port_storage::Storage;
use pos_port_storage::shared::StorageError;
use pos_tests::pgbouncer::PgBouncer;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::pooled_options;
use time::OffsetDateTime;
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn new(number: u32) -> Transition {
    let merchant = MerchantId(Uuid::from_u128(0x1111));
    Device::provision(DeviceId::from_bits(number), merchant, DeviceDetails::default(), AuditContext::operator(), NOW)
}

async fn issue(storage: &Storage, number: u32) -> Result<(), StorageError> {
    let device = storage.devices.find(&DeviceId::from_bits(number)).await?.unwrap();
    let ttl = time::Duration::minutes(5);
    let step = device.issue_pairing_code(PairingCode::from_bits(number), ttl, RequestContext::default(), NOW).unwrap();
    storage.devices.save(&step).await.map_err(|error| match error {
        pos_port_storage::shared::SaveError::Storage(error) => error,
        other => panic!("{other}"),
    })
}

/// Opens a new store through the pooler.
async fn open(options: &StorageOptions) -> Storage {
    storage::open(options).await.unwrap().storage
}

async fn pooled_database(setting: &str) -> (StorageOptions, TestDatabase, PgBouncer) {
    let database = TestDatabase::migrated().await;
    if !setting.is_empty() {
        let set = format!("ALTER DATABASE {} SET {setting}", database.name());
        database.client().await.batch_execute(&set).await.unwrap();
    }
    let pooler = PgBouncer::before(database.url());
    (pooled_options(&pooler, &database), database, pooler)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_stores_share_few_server_connections() {
    let (options, database, _pooler) = pooled_database("").await;
    let stores = join_all((0..6).map(|_| open(&options))).await;
    let all: Vec<_> = (0..120).map(new).collect();
    pos_tests::users::add_merchant(&stores[0], all[0].device().merchant_id()).await;
    stores[0].fleet.create(Scope::Operator, &all, None).await.unwrap();
    let issued = join_all((0..120).map(|number| issue(&stores[number as usize % 6], number))).await;
    assert!(issued.iter().all(Result::is_ok), "{issued:?}");
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let open: i64 = database.client().await.query_one(count, &[]).await.unwrap().get(0);
    assert!((1..=5).contains(&open), "{open} server connections");
}

#[tokio::test]
async fn cut_connections_are_a_short_outage_and_no_fault() {
    let (options, database, _pooler) = pooled_database("").await;
    let storage = open(&options).await;
    pos_tests::users::add_merchant(&storage, new(1).device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &[new(1), new(2)], None).await.unwrap();
    issue(&storage, 1).await.unwrap();
    database.terminate_connections().await;
    let mut answered = false;
    for _ in 0..20 {
        match storage.devices.find(&DeviceId::from_bits(1)).await {
            Ok(found) => {
                assert!(found.is_some());
                answered = true;
                break;
            }
            Err(StorageError::Unavailable(_)) => {}
            Err(fault) => panic!("{fault:?}"),
        }
    }
    assert!(answered, "the pooler reconnects");
    issue(&storage, 2).await.unwrap();
}

#[tokio::test]
async fn a_stopped_pooler_is_unavailable() {
    let (options, _database, pooler) = pooled_database("").await;
    let storage = open(&StorageOptions { connect_timeout: Duration::from_secs(2), ..options }).await;
    storage.health.ping().await.unwrap();
    drop(pooler);
    let refused = storage.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
    assert!(storage.health.ping().await.is_err());
}

/// The limit is set for the role, or here for the database: the store sets none.
#[tokio::test]
async fn the_statement_timeout_of_the_database_applies() {
    let (options, database, _pooler) = pooled_database("statement_timeout = '300ms'").await;
    let storage = open(&options).await;
    pos_tests::users::add_merchant(&storage, new(1).device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &[new(1)], None).await.unwrap();
    let mut blocker = database.client().await;
    let lock = blocker.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let refused = storage.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    assert!(error_chain(&refused).contains("statement timeout"), "{refused:?}");
    lock.rollback().await.unwrap();
    assert!(storage.devices.find(&DeviceId::from_bits(1)).await.unwrap().is_some());
}

fn error_chain(error: &StorageError) -> String {
    let StorageError::Unavailable(cause) = error else { panic!("{error:?}") };
    let chain = std::iter::successors(Some(&**cause as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn another_isolation_level_is_rejected_by_name() {
    let (options, _database, _pooler) = pooled_database("default_transaction_isolation = 'serializable'").await;
    let refused = open(&options).await.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    let message = error_chain(&refused);
    assert!(message.contains("serializable") && message.contains("default_transaction_isolation"), "{message}");
}

#[tokio::test]
async fn migrations_require_the_direct_url() {
    let database = TestDatabase::empty().await;
    let pooler = PgBouncer::before(database.url());
    let with_direct_url = pooled_options(&pooler, &database);
    let without_direct_url = StorageOptions { direct_url: None, ..with_direct_url.clone() };
    let pending = storage::pending_migrations(&without_direct_url).await.unwrap();
    assert!(!pending.is_empty());
    let refused = storage::migrate(&without_direct_url).await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("database.direct_url"), "{cause}");
    assert_eq!(storage::migrate(&with_direct_url).await.unwrap(), pending);
    assert!(storage::pending_migrations(&without_direct_url).await.unwrap().is_empty());
}
