//! What the databases refuse by themselves in the tables of imports.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

const SEALED: &str = "'0c0c0c0c-0000-4000-8000-000000000001'";
const UPLOADING: &str = "'0c0c0c0c-0000-4000-8000-000000000002'";
const OTHER: &str = "'0c0c0c0c-0000-4000-8000-000000000003'";
const SHOP: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";

/// A row of `imports`: who and how, key and fingerprint, how many rows, state and refused row. `AT` stands for an
/// instant and `HASH` for a digest, which the engines write differently.
fn import(id: &str, who: &str, key: &str, state: &str) -> String {
    format!("INSERT INTO imports VALUES ({id}, {who}, NULL, NULL, {key}, {state}, AT, AT)")
}

fn row(import: &str, number: i64, device: &str, more: &str, outcome: &str) -> String {
    format!("INSERT INTO import_rows VALUES ({import}, {number}, {device}, {more}, NULL, {outcome})")
}

const BY_OPERATOR: &str = "'operator', 'best_effort', 'operator'";
const IS_SEALED: &str = "HASH, 5, 'sealed', NULL";

fn good() -> Vec<String> {
    let shop = format!("{SHOP}, NULL");
    let reseller = "'reseller:0e0e0e0e-0000-4000-8000-000000000001', 'all_or_nothing', 'user:rob'";
    vec![
        import(SEALED, BY_OPERATOR, "'k'", IS_SEALED),
        import(UPLOADING, BY_OPERATOR, "'k'", "NULL, NULL, 'uploading', NULL"),
        import("'0c0c0c0c-0000-4000-8000-000000000004'", reseller, "'k'", "HASH, 5, 'refused', 5"),
        import("'0c0c0c0c-0000-4000-8000-000000000005'", BY_OPERATOR, "NULL", "HASH, 0, 'applied', NULL"),
        import("'0c0c0c0c-0000-4000-8000-000000000006'", BY_OPERATOR, "NULL", "HASH, 0, 'applied', NULL"),
        row(SEALED, 1, "'POS-00000001'", &shop, "NULL, NULL"),
        row(SEALED, 2, "'POS-00000001'", &shop, "'duplicate', '1'"),
        row(SEALED, 3, "NULL", "NULL, NULL", "'malformed', 'no row'"),
        row(SEALED, 4, "'POS-00000002'", &format!("{SHOP}, 'Bar'"), "'provisioned', NULL"),
    ]
}

fn bad() -> Vec<(&'static str, String)> {
    let shop = format!("{SHOP}, NULL");
    vec![
        ("an import twice", import(SEALED, BY_OPERATOR, "NULL", IS_SEALED)),
        ("a key twice", import(OTHER, BY_OPERATOR, "'k'", IS_SEALED)),
        ("an unknown owner", import(OTHER, "'shop', 'best_effort', 'operator'", "NULL", IS_SEALED)),
        ("a nameless owner", import(OTHER, "'reseller:', 'best_effort', 'operator'", "NULL", IS_SEALED)),
        ("an unknown mode", import(OTHER, "'operator', 'some', 'operator'", "NULL", IS_SEALED)),
        ("an unknown actor", import(OTHER, "'operator', 'best_effort', 'terminal'", "NULL", IS_SEALED)),
        ("a key with a space", import(OTHER, BY_OPERATOR, "'a b'", IS_SEALED)),
        ("an empty key", import(OTHER, BY_OPERATOR, "''", IS_SEALED)),
        ("an unknown state", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'done', NULL")),
        ("sealed without a fingerprint", import(OTHER, BY_OPERATOR, "NULL", "NULL, 5, 'sealed', NULL")),
        ("sealed without a count", import(OTHER, BY_OPERATOR, "NULL", "HASH, NULL, 'sealed', NULL")),
        ("uploading with a fingerprint", import(OTHER, BY_OPERATOR, "NULL", "HASH, NULL, 'uploading', NULL")),
        ("refused because of no row", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'refused', NULL")),
        ("refused because of no row of its", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'refused', 6")),
        ("applied and refused", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'applied', 1")),
        ("fewer than no rows", import(OTHER, BY_OPERATOR, "NULL", "HASH, -1, 'sealed', NULL")),
        ("a row of no import", row(OTHER, 1, "'POS-00000001'", &shop, "NULL, NULL")),
        ("a row twice", row(SEALED, 1, "'POS-00000001'", &shop, "NULL, NULL")),
        ("a row before the first", row(SEALED, 0, "'POS-00000001'", &shop, "NULL, NULL")),
        ("a device that is none", row(SEALED, 5, "'8F3A2C91'", &shop, "NULL, NULL")),
        ("a label that is none", row(SEALED, 5, "'POS-00000001'", &format!("{SHOP}, ''"), "NULL, NULL")),
        ("an undecided row of no device", row(SEALED, 5, "NULL", &shop, "NULL, NULL")),
        ("an undecided row of no merchant", row(SEALED, 5, "'POS-00000001'", "NULL, NULL", "NULL, NULL")),
        ("no device, provisioned", row(SEALED, 5, "NULL", "NULL, NULL", "'provisioned', NULL")),
        ("an unknown outcome", row(SEALED, 5, "'POS-00000001'", &shop, "'lost', NULL")),
        ("a shared outcome", row(SEALED, 5, "'POS-00000001'", &shop, "'not_imported', NULL")),
        ("malformed for no reason", row(SEALED, 5, "NULL", "NULL, NULL", "'malformed', NULL")),
        ("taken with a reason", row(SEALED, 5, "'POS-00000001'", &shop, "'taken', 'by zoe'")),
        ("a reason for nothing", row(SEALED, 5, "'POS-00000001'", &shop, "NULL, 'why'")),
        ("an import gone under its rows", format!("DELETE FROM imports WHERE import_id = {SEALED}")),
        (
            "a sealed key taken over",
            format!(
                "UPDATE imports SET state = 'sealed', fingerprint = HASH, row_count = 0 WHERE import_id = {UPLOADING}"
            ),
        ),
    ]
}

#[tokio::test]
async fn postgres_refuses_them() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let run = async |sql: String| {
        let sql = sql.replace("AT, AT)", "now(), now())").replace("HASH", "decode(repeat('ab', 32), 'hex')");
        client.batch_execute(&sql).await
    };
    for sql in good() {
        run(sql.clone()).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in bad() {
        let error = run(sql).await.expect_err(name);
        let class = error.code().expect(name).code().to_owned();
        assert!(class.starts_with("23"), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn sqlite_refuses_them() {
    let (_storage, folder) = stores::sqlite().await;
    let mut file = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    file.batch_execute("PRAGMA foreign_keys = ON").unwrap();
    let mut run = |sql: String| file.batch_execute(&sql.replace("AT, AT)", "1, 1)").replace("HASH", "zeroblob(32)"));
    for sql in good() {
        run(sql.clone()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in bad() {
        let error = run(sql).expect_err(name);
        assert!(error.to_string().contains("constraint failed"), "{name}: {error}");
    }
}
