//! Cached query plans: a plan made for a nearly empty table does not slow statements after the table has grown.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::device::{Device, DeviceDetails, PairingCode, Transition};
use pos_domain::shared::{AuditContext, DeviceId, MerchantId, Party, RequestContext, Scope};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::OffsetDateTime;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
/// Enough devices for plans to be kept.
const FEW: u32 = 110;
const MANY: u32 = 60_000;

fn new(bits: u32) -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), AuditContext::operator(), NOW)
}

fn code(device: Device, number: u32) -> Transition {
    let ttl = time::Duration::minutes(5);
    device.issue_pairing_code(PairingCode::from_bits(number), ttl, RequestContext::default(), NOW).unwrap()
}

/// Saves of all kinds and look-ups by code, on connections opened when there were few devices.
struct Workload {
    opened: OpenedStorage,
    codes: u32,
}

impl Workload {
    async fn on(database: &TestDatabase) -> Self {
        // One connection, so that each statement runs on it often enough for its plan to be cached.
        let url = database.url().parse().unwrap();
        let opened = storage::open(&StorageOptions { max_connections: 1, ..options(url) }).await.unwrap();
        Self { opened, codes: 0 }
    }

    fn next(&mut self) -> u32 {
        self.codes += 1;
        self.codes
    }

    /// Saves a batch of devices, then two of them once more with a merchant's scope.
    async fn save(&mut self, first: u32, count: u32) {
        let devices = &self.opened.storage.devices.clone();
        let ids = (first..first + count).map(DeviceId::from_bits);
        let found = join_all(ids.map(|id| async move { devices.find(&id).await.unwrap().unwrap() })).await;
        let steps: Vec<_> = found.into_iter().map(|device| code(device, self.next())).collect();
        let results = join_all(steps.iter().map(|step| devices.save(step))).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        for step in steps.into_iter().take(2) {
            let code_of = step.device().record().pairing_code.unwrap();
            assert!(devices.find_by_pairing_code(code_of).await.unwrap().is_some());
            let merchant = Scope::Of(Party::Merchant(step.device().merchant_id()));
            let step = code(step.into_device(), self.next());
            self.opened.storage.fleet.save(merchant, &step).await.unwrap();
        }
    }
}

/// A number of the statistics, after all sessions of the store have ended and reported theirs.
async fn statistic(database: &TestDatabase, query: &str) -> i64 {
    let client = database.client().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                AND backend_type = 'client backend'";
    let ended = async {
        while client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the store's sessions end");
    client.query_one(query, &[]).await.unwrap().get(0)
}

/// Table rows and index entries that were read.
const ROWS_READ: &str = "SELECT ((SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables)
    + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes))::bigint";

/// Scans of an index that has the device as its second column.
const SCANS_BY_MERCHANT: &str = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'devices_of_merchant'";

/// Adds the devices up to `MANY`.
async fn grow(client: &tokio_postgres::Client, few: u32) {
    let insert = format!(
        "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
            SELECT 'POS-' || lpad(upper(to_hex(i)), 8, '0'), '0f0f0f0f-0000-4000-8000-000000000001', 1, now(), 'inactive'
            FROM generate_series({few}, {last}) AS i;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
            SELECT 'POS-' || lpad(upper(to_hex(i)), 8, '0'), 1, '0f0f0f0f-0000-4000-8000-000000000001', now(), 'operator',
                'provisioned'
            FROM generate_series({few}, {last}) AS i",
        last = MANY - 1
    );
    // Skips the foreign key checks, which read a row each.
    client.batch_execute(&format!("SET session_replication_role = replica; {insert}")).await.unwrap();
}

#[tokio::test]
async fn saves_and_look_ups_do_not_scan_a_table_that_has_grown() {
    let database = TestDatabase::migrated().await;
    let mut workload = Workload::on(&database).await;
    let client = database.client().await;
    for table in ["devices", "device_events", "past_pairing_codes"] {
        client.batch_execute(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await.unwrap();
    }
    let few: Vec<_> = (0..FEW).map(new).collect();
    pos_tests::users::add_merchant(&workload.opened.storage, few[0].device().merchant_id()).await;
    workload.opened.storage.fleet.create(Scope::Operator, &few, None).await.unwrap();
    // From here on PostgreSQL's statistics say that each table has one page.
    for table in ["devices", "device_events"] {
        client.batch_execute(&format!("VACUUM ANALYZE {table}")).await.unwrap();
    }
    for _ in 0..8 {
        workload.save(0, FEW).await;
        workload.save(0, 1).await;
    }
    grow(&client, FEW).await;
    drop(client);
    for round in 1..=4 {
        workload.save(round * 5_000, 100).await;
    }
    let more: Vec<_> = (MANY..MANY + 50).map(new).collect();
    workload.opened.storage.fleet.create(Scope::Operator, &more, None).await.unwrap();
    drop(workload);
    let read = statistic(&database, ROWS_READ).await;
    // One scan of the devices would read more.
    assert!(read < i64::from(MANY), "{read} rows were read");
}

/// Scans by merchant of saves and look-ups of one device, and of more of them after the table has grown.
async fn scans_by_merchant(grown: bool) -> i64 {
    let database = TestDatabase::migrated().await;
    let mut workload = Workload::on(&database).await;
    let client = database.client().await;
    client.batch_execute("ALTER TABLE devices SET (autovacuum_enabled = false)").await.unwrap();
    let one = new(0);
    pos_tests::users::add_merchant(&workload.opened.storage, one.device().merchant_id()).await;
    workload.opened.storage.fleet.create(Scope::Operator, std::slice::from_ref(&one), None).await.unwrap();
    client.batch_execute("VACUUM ANALYZE devices").await.unwrap();
    for _ in 0..8 {
        workload.save(0, 1).await;
    }
    if grown {
        grow(&client, 1).await;
        workload.save(5_000, 100).await;
    }
    drop((client, workload));
    statistic(&database, SCANS_BY_MERCHANT).await
}

/// In a table of one row, the planner rates an index by merchant and device like the primary key.
#[tokio::test]
async fn a_plan_for_a_single_device_is_not_kept() {
    assert_eq!(scans_by_merchant(true).await, scans_by_merchant(false).await);
}
