//! What the databases refuse by themselves, whatever program or hand writes to them.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_tests::postgres::TestDatabase;
use pos_tests::stores;

/// Writes the literals that differ between the engines.
#[derive(Clone, Copy)]
struct Dialect {
    instant: fn(i64) -> String,
    blob: fn(usize) -> String,
}

const POSTGRES: Dialect = Dialect {
    instant: |seconds| format!("to_timestamp({seconds})"),
    blob: |bytes| format!("'\\x{}'", "ab".repeat(bytes)),
};
const SQLITE: Dialect = Dialect {
    instant: |seconds| format!("{}", seconds * 1_000_000),
    blob: |bytes| format!("x'{}'", "ab".repeat(bytes)),
};

const MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";

type Row = Vec<(&'static str, String)>;

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

fn inactive(dialect: Dialect) -> Row {
    vec![
        ("device_id", text("POS-00000001")),
        ("merchant_id", MERCHANT.to_owned()),
        ("version", "1".to_owned()),
        ("provisioned_at", (dialect.instant)(0)),
        ("status", text("inactive")),
    ]
}

fn waiting(dialect: Dialect) -> Row {
    let code = [
        ("pairing_code", text("ABC234")),
        ("code_issued_at", (dialect.instant)(10)),
        ("code_expires_at", (dialect.instant)(310)),
    ];
    inactive(dialect).into_iter().chain(code).collect()
}

fn claimed(dialect: Dialect) -> Row {
    let claim = [("claimed_by", text("anna")), ("claimed_at", (dialect.instant)(20)), ("status", text("claimed"))];
    with(waiting(dialect), claim)
}

fn activated(dialect: Dialect) -> Row {
    with(claimed(dialect), [("activated_at", (dialect.instant)(30)), ("status", text("activated"))])
}

fn with<const N: usize>(mut row: Row, changes: [(&'static str, String); N]) -> Row {
    for (column, value) in changes {
        row.retain(|(name, _)| *name != column);
        row.push((column, value));
    }
    row
}

fn insert(table: &str, row: &Row) -> String {
    let (names, values): (Vec<&str>, Vec<&str>) = row.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
}

/// One statement that must be refused, after those that must be accepted, and what the refusal names: for PostgreSQL
/// and for SQLite, which names columns where PostgreSQL names indexes.
struct Illegal {
    before: Vec<String>,
    statement: String,
    postgres: &'static str,
    sqlite: &'static str,
}

fn legal_rows(dialect: Dialect) -> Vec<String> {
    let other = |row: Row, id: &str| insert("devices", &with(row, [("device_id", text(id))]));
    let sighting = with(
        inactive(dialect),
        [("app_version", text("1.4.2")), ("os", text("Android 12")), ("seen_at", (dialect.instant)(5))],
    );
    // A replica whose clock is behind claims "before" the code was issued: legal.
    let early = with(claimed(dialect), [("claimed_at", (dialect.instant)(9))]);
    vec![
        other(inactive(dialect), "POS-00000001"),
        other(waiting(dialect), "POS-00000002"),
        other(claimed(dialect), "POS-00000003"),
        other(activated(dialect), "POS-00000004"),
        other(early, "POS-00000005"),
        other(sighting, "POS-00000006"),
        other(inactive(dialect), "POS-"),
        other(inactive(dialect), &format!("POS-{}", "~".repeat(60))),
        other(with(inactive(dialect), [("version", "9223372036854775807".to_owned())]), "POS-00000007"),
    ]
}

fn illegal_devices(dialect: Dialect) -> Vec<Illegal> {
    let null = || "NULL".to_owned();
    let at = dialect.instant;
    let blob = dialect.blob;
    let (inactive, waiting) = (|| inactive(dialect), || waiting(dialect));
    let (claimed, activated) = (|| claimed(dialect), || activated(dialect));
    let id = |name: &str| (with(inactive(), [("device_id", text(name))]), "devices_id_form");
    let code = |symbols: &str| (with(waiting(), [("pairing_code", text(symbols))]), "devices_code_form");
    let user = |name: &str| (with(claimed(), [("claimed_by", text(name))]), "devices_claimed_by_form");
    let facts = |row: Row| (row, "devices_state_facts");
    let long = "x".repeat(65);
    let rows = vec![
        id(""),
        id("POS"),
        id("pos-00000001"),
        id("XPOS-0000001"),
        id("POS-0000 0001"),
        id("POS-0000000\u{7f}"),
        id("POS-0000000\u{e9}"),
        id("POS-0000\n0001"),
        id(&format!("POS-{}", "0".repeat(61))),
        (with(inactive(), [("version", "0".to_owned())]), "devices_version_counts"),
        (with(inactive(), [("version", "-1".to_owned())]), "devices_version_counts"),
        (with(inactive(), [("status", text("broken"))]), "devices_status_word"),
        (with(inactive(), [("status", text("Inactive"))]), "devices_status_word"),
        (with(inactive(), [("status", text(""))]), "devices_status_word"),
        code("ABC23"),
        code("ABC2345"),
        code("abc234"),
        code("ABC23O"),
        code("ABC23I"),
        code("ABC230"),
        code("ABC231"),
        code("ABC 34"),
        code("ABC23\u{c9}"),
        code(""),
        (with(waiting(), [("code_issued_at", null())]), "devices_code_whole"),
        (with(waiting(), [("code_expires_at", null())]), "devices_code_whole"),
        (with(waiting(), [("pairing_code", null())]), "devices_code_whole"),
        (with(inactive(), [("code_issued_at", at(1))]), "devices_code_whole"),
        user(""),
        user("an\u{1}na"),
        user("an\nna"),
        user("an\u{7f}na"),
        user("an\u{85}na"),
        user(&"x".repeat(256)),
        user(&"\u{e9}".repeat(128)),
        facts(with(waiting(), [("claimed_by", text("anna"))])),
        facts(with(waiting(), [("claimed_at", at(20))])),
        facts(with(claimed(), [("status", text("inactive"))])),
        facts(with(inactive(), [("activated_at", at(30))])),
        facts(with(inactive(), [("status", text("claimed"))])),
        facts(with(waiting(), [("status", text("claimed"))])),
        facts(with(claimed(), [("claimed_by", null())])),
        facts(with(claimed(), [("claimed_at", null())])),
        facts(with(claimed(), [("activated_at", at(30))])),
        facts(with(claimed(), [("pairing_code", null()), ("code_issued_at", null()), ("code_expires_at", null())])),
        facts(with(claimed(), [("status", text("activated"))])),
        facts(with(activated(), [("claimed_by", null())])),
        facts(with(activated(), [("claimed_at", null())])),
        facts(with(activated(), [("pairing_code", null()), ("code_issued_at", null()), ("code_expires_at", null())])),
        (with(claimed(), [("claimed_at", at(310))]), "devices_claimed_in_time"),
        (with(activated(), [("claimed_at", at(311))]), "devices_claimed_in_time"),
        (with(inactive(), [("app_version", text("1.0"))]), "devices_sighting_whole"),
        (with(inactive(), [("seen_at", at(1))]), "devices_sighting_whole"),
        (with(inactive(), [("os", text("Android 12"))]), "devices_sighting_whole"),
        (with(inactive(), [("model", text("PAX-A920"))]), "devices_sighting_whole"),
        (with(inactive(), [("app_version", text("")), ("seen_at", at(1))]), "devices_sighting_bounded"),
        (with(inactive(), [("app_version", text(&long)), ("seen_at", at(1))]), "devices_sighting_bounded"),
        (
            with(inactive(), [("app_version", text("1")), ("seen_at", at(1)), ("os", text(&long))]),
            "devices_sighting_bounded",
        ),
        (
            with(inactive(), [("app_version", text("1")), ("seen_at", at(1)), ("model", text(&long))]),
            "devices_sighting_bounded",
        ),
        (with(inactive(), [("chain_start", "1".to_owned())]), "devices_chain_whole"),
        (with(inactive(), [("chain_head", blob(32))]), "devices_chain_whole"),
        (with(inactive(), [("chain_start", "0".to_owned()), ("chain_head", blob(32))]), "devices_chain_form"),
        (with(inactive(), [("chain_start", "2".to_owned()), ("chain_head", blob(32))]), "devices_chain_form"),
        (with(inactive(), [("chain_start", "1".to_owned()), ("chain_head", blob(31))]), "devices_chain_form"),
    ];
    let refused = |(row, name): (Row, &'static str)| Illegal {
        before: Vec::new(),
        statement: insert("devices", &row),
        postgres: name,
        sqlite: name,
    };
    let mut cases: Vec<Illegal> = rows.into_iter().map(refused).collect();
    for (column, postgres, sqlite) in [
        ("device_id", "\"device_id\"", "devices.device_id"),
        ("merchant_id", "\"merchant_id\"", "devices.merchant_id"),
        ("version", "\"version\"", "devices.version"),
        ("provisioned_at", "\"provisioned_at\"", "devices.provisioned_at"),
        ("status", "\"status\"", "devices.status"),
    ] {
        let statement = insert("devices", &with(inactive(), [(column, null())]));
        cases.push(Illegal { before: Vec::new(), statement, postgres, sqlite });
    }
    cases
}

fn illegal_neighbours(dialect: Dialect) -> Vec<Illegal> {
    let at = dialect.instant;
    let device = |row: Row, id: &str| insert("devices", &with(row, [("device_id", text(id))]));
    let event = |changes: &[(&'static str, String)]| {
        let mut row: Row = vec![
            ("device_id", text("POS-00000001")),
            ("sequence", "1".to_owned()),
            ("merchant_id", MERCHANT.to_owned()),
            ("at", at(1)),
            ("actor", text("operator")),
            ("kind", text("provisioned")),
        ];
        for (column, value) in changes {
            row = with(row, [(*column, value.clone())]);
        }
        insert("device_events", &row)
    };
    let ended = |changes: &[(&'static str, String)]| {
        let mut row: Row = vec![
            ("device_id", text("POS-00000001")),
            ("sequence", "1".to_owned()),
            ("pairing_code", text("ABC234")),
            ("ended_as", text("retired")),
            ("ended_at", at(1)),
        ];
        for (column, value) in changes {
            row = with(row, [(*column, value.clone())]);
        }
        insert("ended_pairing_codes", &row)
    };
    let told_of = |changes: &[(&'static str, &str)]| {
        let mut row: Row = vec![("at", at(1)), ("actor", text("operator")), ("kind", text("claim_refused"))];
        for (column, value) in changes {
            row = with(row, [(*column, text(value))]);
        }
        insert("audit_events", &row)
    };
    let failure = |scope: &str, subject: &str, failures: &str| {
        let row: Row = vec![
            ("scope", text(scope)),
            ("subject", text(subject)),
            ("window_started_at", at(1)),
            ("failures", failures.to_owned()),
        ];
        insert("claim_failures", &row)
    };
    let one = || vec![insert("devices", &inactive(dialect))];
    let told = || vec![insert("devices", &inactive(dialect)), event(&[])];
    let both = |before: Vec<String>, statement: String, name: &'static str| Illegal {
        before,
        statement,
        postgres: name,
        sqlite: name,
    };
    let second = [("sequence", "2".to_owned()), ("kind", text("claimed"))];
    let actor = |word: &str| event(&[("actor", text(word))]);
    vec![
        Illegal {
            before: one(),
            statement: insert("devices", &waiting(dialect)),
            postgres: "devices_pkey",
            sqlite: "devices.device_id",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A")],
            statement: device(waiting(dialect), "POS-B"),
            postgres: "devices_waiting_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: vec![device(waiting(dialect), "POS-A"), device(claimed(dialect), "POS-B")],
            statement: "UPDATE devices SET status = 'inactive', claimed_by = NULL, claimed_at = NULL \
                        WHERE device_id = 'POS-B'"
                .to_owned(),
            postgres: "devices_waiting_code",
            sqlite: "devices.pairing_code",
        },
        Illegal {
            before: told(),
            statement: event(&[("actor", text("terminal"))]),
            postgres: "device_events_pkey",
            sqlite: "device_events.device_id, device_events.sequence",
        },
        Illegal {
            before: Vec::new(),
            statement: event(&[]),
            postgres: "device_events_device_id_fkey",
            sqlite: "FOREIGN KEY",
        },
        Illegal {
            before: told(),
            statement: "DELETE FROM devices".to_owned(),
            postgres: "device_events_device_id_fkey",
            sqlite: "FOREIGN KEY",
        },
        both(one(), event(&[("hash", (dialect.blob)(33))]), "device_events_hash_form"),
        both(one(), event(&[("origin", text("somewhere"))]), "device_events_origin_form"),
        both(one(), event(&[("origin", text(""))]), "device_events_origin_form"),
        both(one(), event(&[("trace_id", text(&"0".repeat(32)))]), "device_events_trace_form"),
        both(one(), event(&[("trace_id", text(&"A".repeat(32)))]), "device_events_trace_form"),
        both(one(), event(&[("trace_id", text(&"a".repeat(31)))]), "device_events_trace_form"),
        both(Vec::new(), told_of(&[("actor", "nobody")]), "audit_events_actor_word"),
        both(Vec::new(), told_of(&[("origin", "somewhere")]), "audit_events_origin_form"),
        both(Vec::new(), told_of(&[("trace_id", "a")]), "audit_events_trace_form"),
        both(Vec::new(), told_of(&[("kind", "")]), "audit_events_kind_form"),
        both(Vec::new(), told_of(&[("kind", "Exploded")]), "audit_events_kind_form"),
        both(Vec::new(), told_of(&[("subject", "POS-00000001")]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("subject", "device:")]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("subject", &format!("device:{}", "x".repeat(320)))]), "audit_events_subject_form"),
        both(Vec::new(), told_of(&[("detail", "[]")]), "audit_events_detail_form"),
        both(one(), event(&[("sequence", "0".to_owned()), ("kind", text("claimed"))]), "device_events_sequence_counts"),
        both(one(), event(&[("sequence", "2".to_owned())]), "device_events_provisioned_first"),
        both(one(), event(&[("kind", text("claimed"))]), "device_events_provisioned_first"),
        both(one(), event(&[second[0].clone(), ("kind", text("exploded"))]), "device_events_kind_word"),
        both(one(), actor("nobody"), "device_events_actor_word"),
        both(one(), actor("user:"), "device_events_actor_word"),
        both(one(), actor("user:an\nna"), "device_events_actor_word"),
        both(one(), actor(&format!("user:{}", "x".repeat(256))), "device_events_actor_word"),
        Illegal {
            before: one(),
            statement: ended(&[]),
            postgres: "ended_pairing_codes_device_id_sequence_fkey",
            sqlite: "FOREIGN KEY",
        },
        Illegal {
            before: [told(), vec![ended(&[])]].concat(),
            statement: ended(&[("pairing_code", text("ABC235"))]),
            postgres: "ended_pairing_codes_pkey",
            sqlite: "ended_pairing_codes.device_id, ended_pairing_codes.sequence",
        },
        both(told(), ended(&[("pairing_code", text("ABC23O"))]), "ended_pairing_codes_code_form"),
        both(told(), ended(&[("ended_as", text("lost"))]), "ended_pairing_codes_end_word"),
        both(Vec::new(), failure("reseller", "anna", "1"), "claim_failures_scope_word"),
        both(Vec::new(), failure("user", "", "1"), "claim_failures_subject_form"),
        both(Vec::new(), failure("user", &"x".repeat(256), "1"), "claim_failures_subject_form"),
        both(Vec::new(), failure("user", "anna", "0"), "claim_failures_counts"),
        both(Vec::new(), failure("user", "anna", "4294967296"), "claim_failures_counts"),
        Illegal {
            before: vec![failure("user", "anna", "1")],
            statement: failure("user", "anna", "2"),
            postgres: "claim_failures_pkey",
            sqlite: "claim_failures.scope, claim_failures.subject",
        },
    ]
}

fn all(dialect: Dialect) -> Vec<Illegal> {
    illegal_devices(dialect).into_iter().chain(illegal_neighbours(dialect)).collect()
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
async fn postgres_refuses_every_illegal_row() {
    let database = TestDatabase::migrated().await;
    let client = database.client().await;
    for case in all(POSTGRES) {
        client.batch_execute("BEGIN").await.unwrap();
        for statement in &case.before {
            client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let Err(error) = client.batch_execute(&case.statement).await else {
            panic!("PostgreSQL took {}", case.statement);
        };
        let told = error.as_db_error().unwrap().message().to_owned();
        assert!(told.contains(case.postgres), "{}: {told}", case.statement);
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
async fn sqlite_refuses_every_illegal_row() {
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
    // What PostgreSQL's types refuse by themselves.
    let own = [
        merchant(""),
        merchant("0F0F0F0F-0000-4000-8000-000000000001"),
        merchant("0f0f0f0f00004000800000000000000001"),
        merchant("0f0f0f0f-0000-4000-8000-00000000000g"),
        merchant("0f0f0f0f-0000-4000-8000-0000000000-1"),
        typed("provisioned_at", "2026-11-20T00:00:00Z"),
        typed("version", "one"),
    ];
    for case in all(SQLITE).into_iter().chain(own) {
        connection.batch_execute("BEGIN").unwrap();
        for statement in &case.before {
            connection.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
        let Err(error) = connection.batch_execute(&case.statement) else {
            panic!("SQLite took {}", case.statement);
        };
        assert!(error.to_string().contains(case.sqlite), "{}: {error}", case.statement);
        connection.batch_execute("ROLLBACK").unwrap();
    }
}
