//! Constraints on the tables of resellers, merchants, grants and sessions.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

const RESELLER: &str = "'0e0e0e0e-0000-4000-8000-000000000001'";
const MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";
const UNKNOWN: &str = "'0f0f0f0f-0000-4000-8000-0000000000ff'";
const GRANT: &str = "'0d0d0d0d-0000-4000-8000-000000000001'";
const OTHER_GRANT: &str = "'0d0d0d0d-0000-4000-8000-000000000002'";
const HASH: &str = "'$sha256$0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'";

/// `AT` is a placeholder for an instant, which the engines write differently.
fn legal_rows() -> Vec<String> {
    let key = "a".repeat(64);
    vec![
        format!("INSERT INTO resellers VALUES ({RESELLER}, 'Northern', AT)"),
        format!("INSERT INTO merchants VALUES ({MERCHANT}, {RESELLER}, 'Shop', AT)"),
        format!("INSERT INTO memberships VALUES ({GRANT}, 'anna', {MERCHANT}, NULL, 'admin', AT)"),
        format!("INSERT INTO api_clients VALUES ('till', {GRANT}, NULL, {RESELLER}, 'viewer', {HASH}, AT, NULL)"),
        format!(
            "INSERT INTO sessions VALUES ('{key}', {GRANT}, 'anna', {MERCHANT}, NULL, 'admin', 'portal', 'web', NULL, \
             NULL, AT, AT, AT)"
        ),
        "INSERT INTO logouts VALUES ('user', 'anna', AT, AT)".to_owned(),
        "INSERT INTO logouts VALUES ('session', 'x', NULL, AT)".to_owned(),
        "INSERT INTO logouts VALUES ('session', 'y', AT, AT)".to_owned(),
        format!("INSERT INTO revoked_tokens VALUES ('{key}', '{key}', AT, AT)"),
        format!("INSERT INTO revoked_tokens VALUES ('{key}', '', AT, AT)"),
        "INSERT INTO client_failures VALUES ('till', AT, 1)".to_owned(),
    ]
}

fn illegal_rows() -> Vec<(&'static str, String)> {
    let (key, upper) = ("b".repeat(64), "B".repeat(64));
    let session = |key: &str, party: &str, role: &str, app: &str, client: &str| {
        format!(
            "INSERT INTO sessions VALUES ('{key}', {GRANT}, 'anna', {party}, '{role}', {app}, {client}, NULL, AT, AT, AT)"
        )
    };
    let (own, app) = (format!("{MERCHANT}, NULL"), "'portal', 'web'");
    let membership = |grant: &str, user: &str, party: &str, role: &str| {
        format!("INSERT INTO memberships VALUES ({grant}, '{user}', {party}, '{role}', AT)")
    };
    let client = |id: &str, grant: &str, party: &str, role: &str, hash: &str| {
        format!("INSERT INTO api_clients VALUES ('{id}', {grant}, {party}, '{role}', {hash}, AT, NULL)")
    };
    vec![
        ("a nameless reseller", format!("INSERT INTO resellers VALUES ({UNKNOWN}, '', AT)")),
        ("a reseller twice", format!("INSERT INTO resellers VALUES ({RESELLER}, 'x', AT)")),
        ("a name too long", format!("INSERT INTO merchants VALUES ({UNKNOWN}, NULL, '{}', AT)", "x".repeat(201))),
        ("a merchant of an unknown reseller", format!("INSERT INTO merchants VALUES ({UNKNOWN}, {UNKNOWN}, 'x', AT)")),
        ("a member twice", membership(OTHER_GRANT, "anna", &own, "viewer")),
        ("a grant twice", membership(GRANT, "bert", &own, "viewer")),
        ("a member of no party", membership(OTHER_GRANT, "bert", "NULL, NULL", "viewer")),
        ("a member of two parties", membership(OTHER_GRANT, "bert", &format!("{MERCHANT}, {RESELLER}"), "viewer")),
        ("a member of an unknown merchant", membership(OTHER_GRANT, "bert", &format!("{UNKNOWN}, NULL"), "viewer")),
        ("an unknown role", membership(OTHER_GRANT, "bert", &own, "owner")),
        ("a nameless user", membership(OTHER_GRANT, "", &own, "viewer")),
        ("a client twice", client("till", OTHER_GRANT, &own, "viewer", HASH)),
        ("a grant shared by a client and a member", client("other", GRANT, &own, "viewer", HASH)),
        ("a client's name with a colon", client("a:b", OTHER_GRANT, &own, "viewer", HASH)),
        ("a secret in plain text", client("other", OTHER_GRANT, &own, "viewer", "'battery'")),
        ("a digest that is too short", client("other", OTHER_GRANT, &own, "viewer", "'$sha256$abc'")),
        ("a digest in upper case", client("other", OTHER_GRANT, &own, "viewer", &format!("'$sha256${upper}'"))),
        ("a hash of another algorithm", client("other", OTHER_GRANT, &own, "viewer", &format!("'$sha512${key}'"))),
        ("a client of no party", client("other", OTHER_GRANT, "NULL, NULL", "viewer", HASH)),
        ("a client of an unknown role", client("other", OTHER_GRANT, &own, "root", HASH)),
        ("a short key", session("abc", &own, "admin", app, "NULL")),
        ("an upper-case key", session(&upper, &own, "admin", app, "NULL")),
        ("a session of two parties", session(&key, &format!("{MERCHANT}, {RESELLER}"), "admin", app, "NULL")),
        ("a session of no party", session(&key, "NULL, NULL", "admin", app, "NULL")),
        ("a session of an unknown role", session(&key, &own, "root", app, "NULL")),
        ("an application that is no slug", session(&key, &own, "admin", "'The Portal', 'web'", "NULL")),
        ("a channel that is no slug", session(&key, &own, "admin", "'portal', ''", "NULL")),
        ("a session of an unknown client", session(&key, &own, "admin", app, "'nobody'")),
        ("an unknown logout", "INSERT INTO logouts VALUES ('device', 'x', NULL, AT)".to_owned()),
        ("a user's logout without an instant", "INSERT INTO logouts VALUES ('user', 'bert', NULL, AT)".to_owned()),
        ("a revoked token without a session", format!("INSERT INTO revoked_tokens VALUES ('', '{key}', AT, AT)")),
        ("a revoked token that is no hash", format!("INSERT INTO revoked_tokens VALUES ('{key}', 'x', AT, AT)")),
        ("a failure count of zero", "INSERT INTO client_failures VALUES ('other', AT, 0)".to_owned()),
        ("a failure without a subject", "INSERT INTO client_failures VALUES ('', AT, 1)".to_owned()),
        ("a merchant deleted while it has members", format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}")),
        ("a reseller deleted while it has merchants", format!("DELETE FROM resellers WHERE reseller_id = {RESELLER}")),
    ]
}

#[tokio::test]
async fn postgres_rejects_illegal_tenancy_rows() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let run = async |sql: String| client.batch_execute(&sql.replace("AT)", "now())").replace("AT,", "now(),")).await;
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
async fn sqlite_rejects_illegal_tenancy_rows() {
    let (_storage, folder) = stores::sqlite().await;
    let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
    connection.batch_execute("PRAGMA foreign_keys = ON").unwrap();
    let mut run = |sql: String| connection.batch_execute(&sql.replace("AT)", "1)").replace("AT,", "1,"));
    for sql in legal_rows() {
        run(sql.clone()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in illegal_rows() {
        let error = run(sql).expect_err(name);
        assert!(error.to_string().contains("constraint failed"), "{name}: {error}");
    }
}
