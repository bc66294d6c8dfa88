//! What is different through a pooler that lends a server connection for one transaction.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, StorageOptions};
use pos_domain::{Act, CallContext, Device, DeviceDetails, DeviceId, MerchantId, PairingCode, Scope, Transition};
use pos_port_storage::{Storage, StorageError};
use pos_tests::pgbouncer::PgBouncer;
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::pooled_options;
use time::OffsetDateTime;
use uuid::Uuid;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn new(number: u32) -> Transition {
    let merchant = MerchantId(Uuid::from_u128(0x1111));
    Device::provision(DeviceId::from_bits(number), merchant, DeviceDetails::default(), Act::operator(), NOW)
}

async fn issue(storage: &Storage, number: u32) -> Result<(), StorageError> {
    let device = storage.devices.find(&DeviceId::from_bits(number)).await?.unwrap();
    let ttl = time::Duration::minutes(5);
    let step = device.issue_pairing_code(PairingCode::from_bits(number), ttl, CallContext::default(), NOW).unwrap();
    storage.devices.save(&step).await.map_err(|error| match error {
        pos_port_storage::SaveError::Storage(error) => error,
        other => panic!("{other}"),
    })
}

/// Opens a store anew whose database the pooler has not yet been to.
async fn open(options: &StorageOptions) -> Storage {
    storage::open(options).await.unwrap().storage
}

async fn prepared(setting: &str) -> (StorageOptions, TestDatabase, PgBouncer) {
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
    let (options, database, _pooler) = prepared("").await;
    let stores = join_all((0..6).map(|_| open(&options))).await;
    let all: Vec<_> = (0..120).map(new).collect();
    pos_tests::people::add_merchant(&stores[0], all[0].device().merchant_id()).await;
    stores[0].fleet.create(Scope::Operator, &all, None).await.unwrap();
    let issued = join_all((0..120).map(|number| issue(&stores[number as usize % 6], number))).await;
    assert!(issued.iter().all(Result::is_ok), "{issued:?}");
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let open: i64 = database.client().await.query_one(count, &[]).await.unwrap().get(0);
    assert!((1..=5).contains(&open), "{open} server connections");
}

#[tokio::test]
async fn a_database_that_cuts_its_connections_is_away_for_a_moment_and_nobody_is_told_of_a_fault() {
    let (options, database, _pooler) = prepared("").await;
    let storage = open(&options).await;
    pos_tests::people::add_merchant(&storage, new(1).device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &[new(1), new(2)], None).await.unwrap();
    issue(&storage, 1).await.unwrap();
    database.cut().await;
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
    assert!(answered, "the pooler connects anew");
    issue(&storage, 2).await.unwrap();
}

#[tokio::test]
async fn a_pooler_that_is_away_is_unavailable() {
    let (options, _database, pooler) = prepared("").await;
    let storage = open(&StorageOptions { connect_timeout: Duration::from_secs(2), ..options }).await;
    storage.health.ping().await.unwrap();
    drop(pooler);
    let refused = storage.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
    assert!(storage.health.ping().await.is_err());
}

/// The limit is the role's, or here the database's: nothing is set from here.
#[tokio::test]
async fn the_servers_own_limit_ends_a_statement() {
    let (options, database, _pooler) = prepared("statement_timeout = '300ms'").await;
    let storage = open(&options).await;
    pos_tests::people::add_merchant(&storage, new(1).device().merchant_id()).await;
    storage.fleet.create(Scope::Operator, &[new(1)], None).await.unwrap();
    let mut blocker = database.client().await;
    let held = blocker.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE devices IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let refused = storage.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    assert!(refused_because(&refused).contains("statement timeout"), "{refused:?}");
    held.rollback().await.unwrap();
    assert!(storage.devices.find(&DeviceId::from_bits(1)).await.unwrap().is_some());
}

fn refused_because(error: &StorageError) -> String {
    let StorageError::Unavailable(cause) = error else { panic!("{error:?}") };
    let chain = std::iter::successors(Some(&**cause as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn another_isolation_than_ours_is_refused_and_named() {
    let (options, _database, _pooler) = prepared("default_transaction_isolation = 'serializable'").await;
    let refused = open(&options).await.devices.find(&DeviceId::from_bits(1)).await.unwrap_err();
    let told = refused_because(&refused);
    assert!(told.contains("serializable") && told.contains("default_transaction_isolation"), "{told}");
}

#[tokio::test]
async fn migrations_go_past_the_pooler_or_not_at_all() {
    let database = TestDatabase::empty().await;
    let pooler = PgBouncer::before(database.url());
    let with_a_way = pooled_options(&pooler, &database);
    let without = StorageOptions { direct_url: None, ..with_a_way.clone() };
    let pending = storage::pending_migrations(&without).await.unwrap();
    assert!(!pending.is_empty());
    let refused = storage::migrate(&without).await.unwrap_err();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(cause.contains("database.direct_url"), "{cause}");
    assert_eq!(storage::migrate(&with_a_way).await.unwrap(), pending);
    assert!(storage::pending_migrations(&without).await.unwrap().is_empty());
}
