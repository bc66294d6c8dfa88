//! Upgrade of a database whose devices name merchants without a row: every device stays, and each merchant gets a row.

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection};
use pos_adapters::storage::{self, DatabaseUrl};
use pos_domain::{AuditKind, DeviceId, MerchantId, Scope};
use pos_port_storage::{Span, Storage};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores::{open, options, sqlite_url};

const KNOWN: &str = "0f0f0f0f-0000-4000-8000-000000000001";
const UNKNOWN: &str = "0f0f0f0f-0000-4000-8000-000000000002";

/// The way back to the schema before, and devices as a server of that time left them: two of a merchant without a row.
fn before(engine: &str, instant: impl Fn(u32) -> String) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(engine);
    let mut names: Vec<String> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.as_str() >= "2026-12-01-300000");
    names.sort();
    let down = names.iter().rev().map(|name| std::fs::read_to_string(root.join(name).join("down.sql")).unwrap());
    let mut sql: String = down.collect();
    sql += "DELETE FROM __diesel_schema_migrations WHERE version >= '20261201300000';";
    sql += &format!("INSERT INTO merchants VALUES ('{KNOWN}', NULL, 'Shop', {});", instant(9));
    for (id, merchant, second) in [("1", KNOWN, 1), ("2", UNKNOWN, 5), ("3", UNKNOWN, 3)] {
        let at = instant(second);
        sql += &format!(
            "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
             VALUES ('POS-0000000{id}', '{merchant}', 1, {at}, 'inactive');
             INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             VALUES ('POS-0000000{id}', 1, '{merchant}', {at}, 'operator', 'provisioned');"
        );
    }
    sql
}

async fn every_merchant_has_a_row(storage: &Storage) {
    let id = |text: &str| MerchantId(text.parse().unwrap());
    for (number, merchant) in [(1, KNOWN), (2, UNKNOWN), (3, UNKNOWN)] {
        let device = storage.devices.find(&DeviceId::from_bits(number)).await.unwrap().unwrap();
        assert_eq!((device.merchant_id(), device.version()), (id(merchant), 1));
    }
    let find = async |merchant| storage.directory.find_merchant(Scope::Operator, id(merchant)).await.unwrap().unwrap();
    assert_eq!(find(KNOWN).await.name.as_str(), "Shop");
    let added = find(UNKNOWN).await;
    assert_eq!((added.name.as_str(), added.reseller), (UNKNOWN, None));
    assert_eq!(added.created_at.unix_timestamp(), 3, "as old as its first device");
    let trail = storage.events.audit_by_time(&Span { limit: 10, ..Span::default() }, None).await.unwrap();
    // Those with a detail are a later migration's, which records every merchant.
    let own = trail.iter().map(|kept| &kept.event).filter(|event| event.detail.is_empty());
    let of: Vec<_> = own.map(|event| (event.kind, event.merchant_id)).collect();
    assert_eq!(of, [(AuditKind::MerchantAdded, Some(id(UNKNOWN)))]);
}

async fn upgraded(url: DatabaseUrl) -> Storage {
    let applied = storage::migrate(&options(url.clone())).await.unwrap();
    assert_eq!(applied.first().map(String::as_str), Some("2026-12-01-300000_device_merchants"));
    let storage = open(url).await;
    every_merchant_has_a_row(&storage).await;
    storage
}

const ORPHAN: &str = "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status)
    VALUES ('POS-00000009', '0f0f0f0f-0000-4000-8000-000000000009', 1, AT, 'inactive')";

#[tokio::test(flavor = "multi_thread")]
async fn of_postgres() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let instant = |second: u32| format!("to_timestamp({second})");
    client.batch_execute(&before("postgres", instant)).await.unwrap();
    upgraded(database.url().parse().unwrap()).await;
    let refused = client.batch_execute(&ORPHAN.replace("AT", "now()")).await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().constraint(), Some("devices_merchant"));
    let validated = "SELECT convalidated FROM pg_constraint WHERE conname = 'devices_merchant'";
    assert!(client.query_one(validated, &[]).await.unwrap().get::<_, bool>(0));
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder);
    storage::migrate(&options(url.clone())).await.unwrap();
    let connect = || SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    let mut earlier = connect();
    let set_up = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";
    let instant = |second: u32| (second * 1_000_000).to_string();
    earlier.batch_execute(set_up).unwrap();
    earlier.batch_execute(&format!("BEGIN; {} COMMIT;", before("sqlite", instant))).unwrap();
    let statement = |connection: &mut SqliteConnection| {
        let sql = "SELECT sql AS line FROM sqlite_schema WHERE name = 'devices'";
        diesel::sql_query(sql).get_result::<Line>(connection).unwrap().line
    };
    assert!(!statement(&mut earlier).contains("devices_merchant "));
    upgraded(url).await;
    let mut later = connect();
    later.batch_execute(set_up).unwrap();
    for (connection, who) in [(&mut earlier, "one that was open"), (&mut later, "a new one")] {
        assert!(statement(connection).contains("devices_merchant FOREIGN KEY"), "{who}");
        let refused = connection.batch_execute(&ORPHAN.replace("AT", "1")).unwrap_err().to_string();
        assert!(refused.contains("FOREIGN KEY"), "{who}: {refused}");
        for (check, fine) in [("foreign_key_check", ""), ("integrity_check", "ok")] {
            let column = if fine.is_empty() { "\"table\"" } else { check };
            let sql = format!("SELECT coalesce(group_concat({column}), '') AS line FROM pragma_{check}()");
            assert_eq!(diesel::sql_query(sql).get_result::<Line>(connection).unwrap().line, fine, "{who}: {check}");
        }
    }
}
