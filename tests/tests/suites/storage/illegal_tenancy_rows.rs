//! What the databases refuse by themselves in the tables of resellers, merchants, grants and sessions.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

const RESELLER: &str = "'0e0e0e0e-0000-4000-8000-000000000001'";
const MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";
const NOBODY: &str = "'0f0f0f0f-0000-4000-8000-0000000000ff'";
const GRANT: &str = "'0d0d0d0d-0000-4000-8000-000000000001'";
const OTHER_GRANT: &str = "'0d0d0d0d-0000-4000-8000-000000000002'";
const OTHER: &str = "'0d0d0d0d-0000-4000-8000-000000000003'";
const HASH: &str = "'$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA'";

/// `AT` stands for an instant, which the engines write differently.
fn good() -> Vec<String> {
    let key = "a".repeat(64);
    vec![
        format!("INSERT INTO resellers VALUES ({RESELLER}, 'Northern', AT)"),
        format!("INSERT INTO merchants VALUES ({MERCHANT}, {RESELLER}, 'Shop', AT)"),
        format!("INSERT INTO memberships VALUES ({GRANT}, 'anna', {MERCHANT}, NULL, 'admin', AT)"),
        format!("INSERT INTO api_clients VALUES ('till', {GRANT}, NULL, {RESELLER}, 'viewer', {HASH}, AT, NULL)"),
        format!(
            "INSERT INTO api_clients VALUES ('new', {OTHER}, NULL, {RESELLER}, 'viewer', '$sha256${key}', AT, NULL)"
        ),
        format!(
            "INSERT INTO sessions VALUES ('{key}', {GRANT}, 'anna', {MERCHANT}, NULL, 'admin', 'portal', 'web', NULL, AT, \
             AT, AT, NULL)"
        ),
        "INSERT INTO logouts VALUES ('user', 'anna', AT, AT)".to_owned(),
        "INSERT INTO logouts VALUES ('session', 'x', NULL, AT)".to_owned(),
        "INSERT INTO logouts VALUES ('session', 'y', AT, AT)".to_owned(),
        format!("INSERT INTO ended_tokens VALUES ('{key}', '{key}', AT, AT)"),
        format!("INSERT INTO ended_tokens VALUES ('{key}', '', AT, AT)"),
        "INSERT INTO client_failures VALUES ('till', AT, 1)".to_owned(),
    ]
}

fn bad() -> Vec<(&'static str, String)> {
    let (key, upper) = ("b".repeat(64), "B".repeat(64));
    let session = |key: &str, party: &str, role: &str, place: &str, client: &str| {
        format!(
            "INSERT INTO sessions VALUES ('{key}', {GRANT}, 'anna', {party}, '{role}', {place}, {client}, AT, AT, AT, NULL)"
        )
    };
    let (own, place) = (format!("{MERCHANT}, NULL"), "'portal', 'web'");
    let membership = |grant: &str, user: &str, party: &str, role: &str| {
        format!("INSERT INTO memberships VALUES ({grant}, '{user}', {party}, '{role}', AT)")
    };
    let client = |id: &str, grant: &str, party: &str, role: &str, hash: &str| {
        format!("INSERT INTO api_clients VALUES ('{id}', {grant}, {party}, '{role}', {hash}, AT, NULL)")
    };
    vec![
        ("a nameless reseller", format!("INSERT INTO resellers VALUES ({NOBODY}, '', AT)")),
        ("a reseller twice", format!("INSERT INTO resellers VALUES ({RESELLER}, 'x', AT)")),
        ("a name too long", format!("INSERT INTO merchants VALUES ({NOBODY}, NULL, '{}', AT)", "x".repeat(201))),
        ("a merchant of nobody's", format!("INSERT INTO merchants VALUES ({NOBODY}, {NOBODY}, 'x', AT)")),
        ("a member twice", membership(OTHER_GRANT, "anna", &own, "viewer")),
        ("a grant twice", membership(GRANT, "bert", &own, "viewer")),
        ("a member of nothing", membership(OTHER_GRANT, "bert", "NULL, NULL", "viewer")),
        ("a member of both", membership(OTHER_GRANT, "bert", &format!("{MERCHANT}, {RESELLER}"), "viewer")),
        ("a member of nobody's", membership(OTHER_GRANT, "bert", &format!("{NOBODY}, NULL"), "viewer")),
        ("an unknown role", membership(OTHER_GRANT, "bert", &own, "owner")),
        ("a nameless user", membership(OTHER_GRANT, "", &own, "viewer")),
        ("a client twice", client("till", OTHER_GRANT, &own, "viewer", HASH)),
        ("a client's grant twice", client("other", GRANT, &own, "viewer", HASH)),
        ("a client's name with a colon", client("a:b", OTHER_GRANT, &own, "viewer", HASH)),
        ("a secret in the clear", client("other", OTHER_GRANT, &own, "viewer", "'battery'")),
        ("a digest that is too short", client("other", OTHER_GRANT, &own, "viewer", "'$sha256$abc'")),
        ("a client of nothing", client("other", OTHER_GRANT, "NULL, NULL", "viewer", HASH)),
        ("a client of an unknown role", client("other", OTHER_GRANT, &own, "root", HASH)),
        ("a short key", session("abc", &own, "admin", place, "NULL")),
        ("an upper-case key", session(&upper, &own, "admin", place, "NULL")),
        ("a session of both", session(&key, &format!("{MERCHANT}, {RESELLER}"), "admin", place, "NULL")),
        ("a session of nothing", session(&key, "NULL, NULL", "admin", place, "NULL")),
        ("a session of an unknown role", session(&key, &own, "root", place, "NULL")),
        ("an application that is no slug", session(&key, &own, "admin", "'The Portal', 'web'", "NULL")),
        ("a channel that is no slug", session(&key, &own, "admin", "'portal', ''", "NULL")),
        ("a session of an unknown client", session(&key, &own, "admin", place, "'nobody'")),
        ("an unknown logout", "INSERT INTO logouts VALUES ('device', 'x', NULL, AT)".to_owned()),
        ("a user's logout without an instant", "INSERT INTO logouts VALUES ('user', 'bert', NULL, AT)".to_owned()),
        ("an ended token of no session", format!("INSERT INTO ended_tokens VALUES ('', '{key}', AT, AT)")),
        ("an ended token that is no hash", format!("INSERT INTO ended_tokens VALUES ('{key}', 'x', AT, AT)")),
        ("no failure", "INSERT INTO client_failures VALUES ('other', AT, 0)".to_owned()),
        ("nobody's failure", "INSERT INTO client_failures VALUES ('', AT, 1)".to_owned()),
        ("a merchant gone under its members", format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}")),
        ("a reseller gone under its merchants", format!("DELETE FROM resellers WHERE reseller_id = {RESELLER}")),
    ]
}

#[tokio::test]
async fn postgres_refuses_them() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    let run = async |sql: String| client.batch_execute(&sql.replace("AT)", "now())").replace("AT,", "now(),")).await;
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
    let mut run = |sql: String| file.batch_execute(&sql.replace("AT)", "1)").replace("AT,", "1,"));
    for sql in good() {
        run(sql.clone()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for (name, sql) in bad() {
        let error = run(sql).expect_err(name);
        assert!(error.to_string().contains("constraint failed"), "{name}: {error}");
    }
}
