//! Database constraints on devices and related tables, tested with plain SQL.

mod devices;
mod fleet;
mod related_tables;
mod rows;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

use devices::illegal_devices;
use fleet::{MERCHANT_ROW, illegal_fleet_rows, location};
use related_tables::illegal_related_rows;
use rows::{
    Dialect, Illegal, POSTGRES, Row, SQLITE, activated, claimed, decommissioned, inactive, insert, text, waiting, with,
};

fn legal_rows(dialect: Dialect) -> Vec<String> {
    let other = |row: Row, id: &str| insert("devices", &with(row, [("device_id", text(id))]));
    let terminal_info = with(
        inactive(dialect),
        [("app_version", text("1.4.2")), ("os", text("Android 12")), ("seen_at", (dialect.instant)(5))],
    );
    // Legal: a replica with a slow clock claims "before" the code was issued.
    let claimed_early = with(claimed(dialect), [("claimed_at", (dialect.instant)(9))]);
    vec![
        MERCHANT_ROW.replace("AT", &(dialect.instant)(0)),
        other(inactive(dialect), "POS-00000001"),
        other(waiting(dialect), "POS-00000002"),
        other(claimed(dialect), "POS-00000003"),
        other(activated(dialect), "POS-00000004"),
        other(claimed_early, "POS-00000005"),
        other(terminal_info, "POS-00000006"),
        other(inactive(dialect), "POS-"),
        other(inactive(dialect), &format!("POS-{}", "~".repeat(60))),
        other(with(inactive(dialect), [("version", "9223372036854775807".to_owned())]), "POS-00000007"),
        other(decommissioned(dialect), "POS-00000008"),
        other(with(decommissioned(dialect), [("label", text(&"\u{e9}".repeat(200)))]), "POS-00000009"),
        location(dialect, &[]),
        other(with(activated(dialect), [("location_id", fleet::LOCATION.to_owned())]), "POS-0000000A"),
        // A merchant and a reseller with the same id and the same key.
        fleet::key_row(dialect, &[]),
        fleet::key_row(dialect, &[("party_kind", text("reseller"))]),
        fleet::key_row(dialect, &[("idempotency_key", text(&"~".repeat(255))), ("response", text(""))]),
    ]
}

/// The statements before a case. They include the merchant that its devices need.
fn preparation(case: &Illegal, dialect: Dialect) -> Vec<String> {
    let has = |table: &str| case.before.iter().any(|statement| statement.starts_with(&format!("INSERT INTO {table} ")));
    let merchant = (has("devices") && !has("merchants")).then(|| MERCHANT_ROW.replace("AT", &(dialect.instant)(0)));
    merchant.into_iter().chain(case.before.iter().cloned()).collect()
}

fn all(dialect: Dialect) -> Vec<Illegal> {
    let all = illegal_devices(dialect).into_iter().chain(illegal_related_rows(dialect));
    all.chain(illegal_fleet_rows(dialect)).collect()
}

#[tokio::test]
async fn postgres_accepts_legal_rows() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    for statement in legal_rows(POSTGRES) {
        client.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

#[tokio::test]
async fn postgres_rejects_every_illegal_row() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    for case in all(POSTGRES) {
        client.batch_execute("BEGIN").await.unwrap();
        for statement in &preparation(&case, POSTGRES) {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let Err(error) = client.batch_execute(&case.statement).await else {
            panic!("PostgreSQL accepted {}", case.statement);
        };
        let message = error.as_db_error().unwrap().message().to_owned();
        assert!(message.contains(case.postgres), "{}: {message}", case.statement);
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

async fn sqlite_connection() -> (SqliteConnection, tempfile::TempDir) {
    let (_, folder) = stores::sqlite().await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA foreign_keys = ON").unwrap();
    (connection, folder)
}

#[tokio::test]
async fn sqlite_accepts_legal_rows() {
    let (mut connection, _folder) = sqlite_connection().await;
    for statement in legal_rows(SQLITE) {
        connection.batch_execute(&statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

#[tokio::test]
async fn sqlite_rejects_every_illegal_row() {
    let (mut connection, _folder) = sqlite_connection().await;
    let merchant = |value: &str| Illegal {
        before: Vec::new(),
        statement: insert("devices", &with(inactive(SQLITE), [("merchant_id", text(value))])),
        postgres: "",
        sqlite: "devices_merchant_form",
    };
    let typed = |column: &'static str, value: &str| Illegal {
        before: Vec::new(),
        statement: insert("devices", &with(inactive(SQLITE), [(column, text(value))])),
        postgres: "",
        sqlite: "cannot store TEXT value",
    };
    // PostgreSQL's column types already reject these.
    let sqlite_only = [
        merchant(""),
        merchant("0F0F0F0F-0000-4000-8000-000000000001"),
        merchant("0f0f0f0f00004000800000000000000001"),
        merchant("0f0f0f0f-0000-4000-8000-00000000000g"),
        merchant("0f0f0f0f-0000-4000-8000-0000000000-1"),
        Illegal {
            before: Vec::new(),
            statement: insert("devices", &with(inactive(SQLITE), [("location_id", text("the counter"))])),
            postgres: "",
            sqlite: "devices_location_form",
        },
        Illegal {
            before: vec![MERCHANT_ROW.replace("AT", "0")],
            statement: location(SQLITE, &[("location_id", text("the counter"))]),
            postgres: "",
            sqlite: "locations_id_form",
        },
        Illegal {
            before: Vec::new(),
            statement: fleet::key_row(SQLITE, &[("party_id", text("anna"))]),
            postgres: "",
            sqlite: "idempotency_keys_party_form",
        },
        typed("provisioned_at", "2026-11-20T00:00:00Z"),
        typed("version", "one"),
    ];
    for case in all(SQLITE).into_iter().chain(sqlite_only) {
        connection.batch_execute("BEGIN").unwrap();
        for statement in &preparation(&case, SQLITE) {
            connection.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let Err(error) = connection.batch_execute(&case.statement) else {
            panic!("SQLite accepted {}", case.statement);
        };
        assert!(error.to_string().contains(case.sqlite), "{}: {error}", case.statement);
        connection.batch_execute("ROLLBACK").unwrap();
    }
}
