//! Plans that were made while a table was all but empty: they are not kept until the next ANALYZE.

use std::time::Duration;

use futures_util::future::join_all;
use pos_adapters::storage::{self, OpenedStorage, StorageOptions};
use pos_domain::{
    Act, CallContext, Device, DeviceDetails, DeviceId, MerchantId, PairingCode, Party, Scope, Transition,
};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::options;
use time::OffsetDateTime;

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
const FEW: u32 = 10;
const MANY: u32 = 30_000;

fn new(bits: u32) -> Transition {
    let merchant = MerchantId("0f0f0f0f-0000-4000-8000-000000000001".parse().unwrap());
    Device::provision(DeviceId::from_bits(bits), merchant, DeviceDetails::default(), Act::operator(), NOW)
}

fn code(device: Device, number: u32) -> Transition {
    let ttl = time::Duration::minutes(5);
    device.issue_pairing_code(PairingCode::from_bits(number), ttl, CallContext::default(), NOW).unwrap()
}

/// Saves of all kinds and look-ups by code, with connections that were open when there were few devices.
struct Caller {
    opened: OpenedStorage,
    codes: u32,
}

impl Caller {
    async fn on(database: &TestDatabase) -> Self {
        // One connection of the pool, so that every statement is run on it often enough for a plan to be kept.
        let url = database.url().parse().unwrap();
        let opened = storage::open(&StorageOptions { max_connections: 1, ..options(url) }).await.unwrap();
        Self { opened, codes: 0 }
    }

    fn next(&mut self) -> u32 {
        self.codes += 1;
        self.codes
    }

    /// A batch of saves at once, and one for a merchant, of devices that have had no other.
    async fn save(&mut self, first: u32, count: u32) {
        let devices = &self.opened.storage.devices.clone();
        let ids = (first..first + count).map(DeviceId::from_bits);
        let found = join_all(ids.map(|id| async move { devices.find(&id).await.unwrap().unwrap() })).await;
        let steps: Vec<_> = found.into_iter().map(|device| code(device, self.next())).collect();
        let told = join_all(steps.iter().map(|step| devices.save(step))).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        for step in steps.into_iter().take(2) {
            let code_of = step.device().record().pairing_code.unwrap();
            assert!(devices.find_by_pairing_code(code_of).await.unwrap().is_some());
            let merchant = Scope::Of(Party::Merchant(step.device().merchant_id()));
            let step = code(step.into_device(), self.next());
            self.opened.storage.fleet.save(merchant, &step).await.unwrap();
        }
    }
}

/// How many rows of a table, or entries of its indexes, all sessions that have ended have read.
async fn rows_read(database: &TestDatabase) -> i64 {
    let client = database.client().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                AND backend_type = 'client backend'";
    let ended = async {
        while client.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the store's sessions end");
    let read = "SELECT ((SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables)
        + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes))::bigint";
    client.query_one(read, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn saves_and_look_ups_read_no_more_rows_than_they_have_when_the_table_has_grown() {
    let database = TestDatabase::migrated().await;
    let mut caller = Caller::on(&database).await;
    let client = database.client().await;
    for table in ["devices", "device_events", "ended_pairing_codes"] {
        client.batch_execute(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)")).await.unwrap();
    }
    let few: Vec<_> = (0..FEW).map(new).collect();
    pos_tests::people::add_merchant(&caller.opened.storage, few[0].device().merchant_id()).await;
    caller.opened.storage.fleet.create(Scope::Operator, &few, None).await.unwrap();
    // What PostgreSQL knows of the tables from here on is that they have a page each.
    for table in ["devices", "device_events"] {
        client.batch_execute(&format!("VACUUM ANALYZE {table}")).await.unwrap();
    }
    for _ in 0..8 {
        caller.save(0, FEW).await;
        caller.save(0, 1).await;
    }
    let grow = format!(
        "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
            SELECT 'POS-' || lpad(upper(to_hex(i)), 8, '0'), '0f0f0f0f-0000-4000-8000-000000000001', 1, now(), 'inactive'
            FROM generate_series({FEW}, {last}) AS i;
         INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
            SELECT 'POS-' || lpad(upper(to_hex(i)), 8, '0'), 1, '0f0f0f0f-0000-4000-8000-000000000001', now(), 'operator',
                'provisioned'
            FROM generate_series({FEW}, {last}) AS i",
        last = MANY - 1
    );
    // Without the checks of foreign keys, which read a row each.
    client.batch_execute(&format!("SET session_replication_role = replica; {grow}")).await.unwrap();
    drop(client);
    for round in 1..=4 {
        caller.save(round * 5_000, 100).await;
    }
    let more: Vec<_> = (MANY..MANY + 50).map(new).collect();
    caller.opened.storage.fleet.create(Scope::Operator, &more, None).await.unwrap();
    drop(caller);
    let read = rows_read(&database).await;
    // Once over the devices would be more than that.
    assert!(read < i64::from(MANY), "{read} rows were read");
}
