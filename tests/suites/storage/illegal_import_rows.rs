//! Constraints on the import tables.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

const UPLOADED: &str = "'0c0c0c0c-0000-4000-8000-000000000001'";
const UPLOADING: &str = "'0c0c0c0c-0000-4000-8000-000000000002'";
const OTHER: &str = "'0c0c0c0c-0000-4000-8000-000000000003'";
const SHOP: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";

/// A row of `imports`: owner, mode and actor in `who`; fingerprint, row count, state and rejected row in `state`. `AT`
/// is a placeholder for an instant and `HASH` for a digest, which the engines write differently.
fn import(id: &str, who: &str, key: &str, state: &str) -> String {
    format!("INSERT INTO imports VALUES ({id}, {who}, NULL, NULL, {key}, {state}, AT, AT)")
}

fn row(import: &str, number: i64, device: &str, more: &str, outcome: &str) -> String {
    format!("INSERT INTO import_rows VALUES ({import}, {number}, {device}, {more}, NULL, {outcome})")
}

const BY_OPERATOR: &str = "'operator', 'best_effort', 'operator'";
const UPLOADED_STATE: &str = "HASH, 5, 'uploaded', NULL";

fn legal_rows() -> Vec<String> {
    let shop = format!("{SHOP}, NULL");
    let reseller = "'reseller:0e0e0e0e-0000-4000-8000-000000000001', 'all_or_nothing', 'user:rob'";
    vec![
        import(UPLOADED, BY_OPERATOR, "'k'", UPLOADED_STATE),
        import(UPLOADING, BY_OPERATOR, "'k'", "NULL, NULL, 'uploading', NULL"),
        import("'0c0c0c0c-0000-4000-8000-000000000004'", reseller, "'k'", "HASH, 5, 'refused', 5"),
        import("'0c0c0c0c-0000-4000-8000-000000000005'", BY_OPERATOR, "NULL", "HASH, 0, 'applied', NULL"),
        import("'0c0c0c0c-0000-4000-8000-000000000006'", BY_OPERATOR, "NULL", "HASH, 0, 'applied', NULL"),
        row(UPLOADED, 1, "'POS-00000001'", &shop, "NULL, NULL"),
        row(UPLOADED, 2, "'POS-00000001'", &shop, "'duplicate', '1'"),
        row(UPLOADED, 3, "NULL", "NULL, NULL", "'malformed', 'no row'"),
        row(UPLOADED, 4, "'POS-00000002'", &format!("{SHOP}, 'Bar'"), "'provisioned', NULL"),
    ]
}

fn illegal_rows() -> Vec<(&'static str, String)> {
    let shop = format!("{SHOP}, NULL");
    vec![
        ("an import twice", import(UPLOADED, BY_OPERATOR, "NULL", UPLOADED_STATE)),
        ("a key twice", import(OTHER, BY_OPERATOR, "'k'", UPLOADED_STATE)),
        ("an unknown owner", import(OTHER, "'shop', 'best_effort', 'operator'", "NULL", UPLOADED_STATE)),
        ("a nameless owner", import(OTHER, "'reseller:', 'best_effort', 'operator'", "NULL", UPLOADED_STATE)),
        ("an unknown mode", import(OTHER, "'operator', 'some', 'operator'", "NULL", UPLOADED_STATE)),
        ("an unknown actor", import(OTHER, "'operator', 'best_effort', 'terminal'", "NULL", UPLOADED_STATE)),
        ("a key with a space", import(OTHER, BY_OPERATOR, "'a b'", UPLOADED_STATE)),
        ("an empty key", import(OTHER, BY_OPERATOR, "''", UPLOADED_STATE)),
        ("an unknown state", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'done', NULL")),
        ("uploaded without a fingerprint", import(OTHER, BY_OPERATOR, "NULL", "NULL, 5, 'uploaded', NULL")),
        ("uploaded without a count", import(OTHER, BY_OPERATOR, "NULL", "HASH, NULL, 'uploaded', NULL")),
        ("uploading with a fingerprint", import(OTHER, BY_OPERATOR, "NULL", "HASH, NULL, 'uploading', NULL")),
        ("refused without a row", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'refused', NULL")),
        ("refused for a row of another import", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'refused', 6")),
        ("applied and refused", import(OTHER, BY_OPERATOR, "NULL", "HASH, 5, 'applied', 1")),
        ("a negative row count", import(OTHER, BY_OPERATOR, "NULL", "HASH, -1, 'uploaded', NULL")),
        ("a row without an import", row(OTHER, 1, "'POS-00000001'", &shop, "NULL, NULL")),
        ("a row twice", row(UPLOADED, 1, "'POS-00000001'", &shop, "NULL, NULL")),
        ("a row number of zero", row(UPLOADED, 0, "'POS-00000001'", &shop, "NULL, NULL")),
        ("an invalid device id", row(UPLOADED, 5, "'8F3A2C91'", &shop, "NULL, NULL")),
        ("an invalid label", row(UPLOADED, 5, "'POS-00000001'", &format!("{SHOP}, ''"), "NULL, NULL")),
        ("a pending row without a device", row(UPLOADED, 5, "NULL", &shop, "NULL, NULL")),
        ("a pending row without a merchant", row(UPLOADED, 5, "'POS-00000001'", "NULL, NULL", "NULL, NULL")),
        ("provisioned without a device", row(UPLOADED, 5, "NULL", "NULL, NULL", "'provisioned', NULL")),
        ("an unknown outcome", row(UPLOADED, 5, "'POS-00000001'", &shop, "'lost', NULL")),
        ("an outcome of the whole import", row(UPLOADED, 5, "'POS-00000001'", &shop, "'not_imported', NULL")),
        ("malformed without a reason", row(UPLOADED, 5, "NULL", "NULL, NULL", "'malformed', NULL")),
        ("taken with a reason", row(UPLOADED, 5, "'POS-00000001'", &shop, "'taken', 'by zoe'")),
        ("a reason without an outcome", row(UPLOADED, 5, "'POS-00000001'", &shop, "NULL, 'why'")),
        ("an import deleted while it has rows", format!("DELETE FROM imports WHERE import_id = {UPLOADED}")),
        (
            "a second uploaded import with the same key",
            format!(
                "UPDATE imports SET state = 'uploaded', fingerprint = HASH, row_count = 0 WHERE import_id = {UPLOADING}"
            ),
        ),
    ]
}

#[tokio::test]
async fn postgres_rejects_illegal_import_rows() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let run = async |sql: String| {
        let sql = sql.replace("AT, AT)", "now(), now())").replace("HASH", "decode(repeat('ab', 32), 'hex')");
        client.batch_execute(&sql).await
    };
    for sql in legal_rows() {
        run(sql.clone()).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in illegal_rows() {
        let error = run(sql).await.expect_err(name);
        let class = error.code().expect(name).code().to_owned();
        assert!(class.starts_with("23"), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn sqlite_rejects_illegal_import_rows() {
    let (_storage, folder) = stores::sqlite().await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA foreign_keys = ON").unwrap();
    let mut run =
        |sql: String| connection.batch_execute(&sql.replace("AT, AT)", "1, 1)").replace("HASH", "zeroblob(32)"));
    for sql in legal_rows() {
        run(sql.clone()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in illegal_rows() {
        let error = run(sql).expect_err(name);
        assert!(error.to_string().contains("constraint failed"), "{name}: {error}");
    }
}
