//! Checks of the migrations' SQL against the rules for migrations that run while replicas serve requests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The migrations that create the first schema. Its tables are empty, and no replica serves on them.
const EXEMPT: [&str; 5] = [
    "2026-12-01-000001_tenancy",
    "2026-12-01-000002_device",
    "2026-12-01-000003_pairing",
    "2026-12-01-000004_fleet",
    "2026-12-01-000005_audit",
];

/// The statements of a migration in upper case, without comments, with single spaces between words.
fn statements(sql: &str) -> Vec<String> {
    let lines: Vec<_> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let text = lines.join(" ").replace('(', " ( ").replace(')', " ) ").to_uppercase();
    text.split(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The word after `words`, if the statement contains them.
fn after<'s>(statement: &'s str, words: &str) -> Option<&'s str> {
    statement.split_once(words)?.1.split_whitespace().find(|word| !["IF", "NOT", "EXISTS", "ONLY"].contains(word))
}

/// Statements of a migration that lock a table while they read all of it.
fn faults(sql: &str, in_transaction: bool) -> Vec<String> {
    let statements = statements(sql);
    let made: BTreeSet<_> = statements.iter().filter_map(|statement| after(statement, "CREATE TABLE ")).collect();
    let is_old = |table: Option<&str>| table.is_none_or(|table| !made.contains(table));
    let concurrent = statements.iter().any(|statement| statement.contains("CONCURRENTLY"));
    let mut faults = Vec::new();
    if concurrent && (in_transaction || statements.len() > 1) {
        faults.push("CONCURRENTLY must be alone in its migration, with run_in_transaction = false".to_owned());
    }
    for statement in &statements {
        let mut fault = |what: &str| faults.push(format!("{what}: {statement}"));
        let is_index = ["CREATE INDEX ", "CREATE UNIQUE INDEX "].iter().any(|words| statement.starts_with(words));
        if is_index && !statement.contains("CONCURRENTLY") && is_old(after(statement, " ON ")) {
            fault("an index without CONCURRENTLY");
        }
        if !statement.starts_with("ALTER TABLE ") || !is_old(after(statement, "ALTER TABLE ")) {
            continue;
        }
        let checks = [" CHECK ", " REFERENCES ", " FOREIGN KEY "].iter().any(|words| statement.contains(words));
        if checks && !statement.ends_with("NOT VALID") {
            fault("a constraint without NOT VALID at its end, or several in one statement");
        }
        let unique = [" UNIQUE ", " PRIMARY KEY "].iter().any(|words| statement.contains(words));
        if unique && !statement.contains("USING INDEX") {
            fault("a unique constraint without USING INDEX");
        }
        if statement.contains(" VALIDATE CONSTRAINT ") && statements.iter().any(|other| other.ends_with("NOT VALID")) {
            fault("VALIDATE in the migration that adds the constraint");
        }
        if statement.contains(" SET NOT NULL") || (statement.contains(" ALTER COLUMN ") && statement.contains(" TYPE "))
        {
            fault("a change that reads or writes every row");
        }
        if statement.contains(" ADD COLUMN ") && statement.contains(" NOT NULL") && !statement.contains(" DEFAULT ") {
            fault("a NOT NULL column without a default");
        }
    }
    faults
}

#[test]
fn no_migration_locks_a_table_for_long() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../migrations/postgres");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if EXEMPT.contains(&name.as_str()) {
            seen += 1;
            continue;
        }
        let metadata = fs::read_to_string(entry.path().join("metadata.toml")).unwrap_or_default();
        let in_transaction = !metadata.replace(' ', "").contains("run_in_transaction=false");
        let sql = fs::read_to_string(entry.path().join("up.sql")).unwrap();
        let faults = faults(&sql, in_transaction);
        assert!(faults.is_empty(), "{name} breaks docs/decisions/0044-rules-for-migrations.md: {faults:#?}");
    }
    assert_eq!(seen, EXEMPT.len(), "an exempt migration does not exist");
}

#[test]
fn each_violation_is_reported() {
    for sql in [
        "CREATE INDEX a ON devices (label);",
        "CREATE UNIQUE INDEX a ON devices (label);",
        "ALTER TABLE devices ADD CONSTRAINT a CHECK (label <> '');",
        "ALTER TABLE devices ADD CONSTRAINT a FOREIGN KEY (merchant_id) REFERENCES merchants;",
        "ALTER TABLE devices ADD COLUMN a uuid REFERENCES merchants;",
        "ALTER TABLE devices ADD CONSTRAINT a UNIQUE (label);",
        "ALTER TABLE devices ALTER COLUMN label SET NOT NULL;",
        "ALTER TABLE devices ALTER COLUMN label TYPE varchar;",
        "ALTER TABLE devices ADD COLUMN a text NOT NULL;",
        "ALTER TABLE devices ADD CONSTRAINT a CHECK (label <> '') NOT VALID; ALTER TABLE devices VALIDATE CONSTRAINT a;",
        "CREATE INDEX CONCURRENTLY a ON devices (label);",
    ] {
        assert_eq!(faults(sql, true).len(), 1, "{sql}");
    }
    assert_eq!(faults("CREATE INDEX CONCURRENTLY a ON devices (label); SELECT 1;", false).len(), 1);
}

#[test]
fn a_migration_that_follows_the_rules_has_no_faults() {
    for (sql, in_transaction) in [
        ("CREATE INDEX CONCURRENTLY a ON devices (label);", false),
        ("CREATE TABLE new (id uuid PRIMARY KEY, a text NOT NULL CHECK (a <> '')); CREATE INDEX b ON new (a);", true),
        ("CREATE TABLE new (id uuid); ALTER TABLE new ADD CONSTRAINT a UNIQUE (id);", true),
        ("ALTER TABLE devices ADD CONSTRAINT a CHECK (label <> '') NOT VALID; -- CREATE INDEX", true),
        ("ALTER TABLE devices VALIDATE CONSTRAINT a;", true),
        ("ALTER TABLE devices ADD CONSTRAINT a UNIQUE USING INDEX b;", true),
        ("ALTER TABLE devices ADD COLUMN a text; ALTER TABLE devices ADD COLUMN b bigint NOT NULL DEFAULT 0;", true),
        ("INSERT INTO devices SELECT 1;", true),
    ] {
        assert_eq!(faults(sql, in_transaction), Vec::<String>::new(), "{sql}");
    }
}
