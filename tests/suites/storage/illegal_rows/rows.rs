//! Legal rows that the cases modify, in the SQL of either engine.

/// Literals that differ between the engines.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    pub(super) instant: fn(i64) -> String,
    pub(super) blob: fn(usize) -> String,
}

pub(super) const POSTGRES: Dialect = Dialect {
    instant: |seconds| format!("to_timestamp({seconds})"),
    blob: |bytes| format!("'\\x{}'", "ab".repeat(bytes)),
};
pub(super) const SQLITE: Dialect = Dialect {
    instant: |seconds| format!("{}", seconds * 1_000_000),
    blob: |bytes| format!("x'{}'", "ab".repeat(bytes)),
};

pub(super) const MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000001'";

pub(super) type Row = Vec<(&'static str, String)>;

pub(super) fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

pub(super) fn inactive(dialect: Dialect) -> Row {
    vec![
        ("device_id", text("POS-00000001")),
        ("merchant_id", MERCHANT.to_owned()),
        ("version", "1".to_owned()),
        ("provisioned_at", (dialect.instant)(0)),
        ("status", text("inactive")),
    ]
}

pub(super) fn waiting(dialect: Dialect) -> Row {
    let code = [
        ("pairing_code", text("ABC234")),
        ("code_issued_at", (dialect.instant)(10)),
        ("code_expires_at", (dialect.instant)(310)),
    ];
    inactive(dialect).into_iter().chain(code).collect()
}

pub(super) fn claimed(dialect: Dialect) -> Row {
    let claim = [("claimed_by", text("anna")), ("claimed_at", (dialect.instant)(20)), ("status", text("claimed"))];
    with(waiting(dialect), claim)
}

pub(super) fn activated(dialect: Dialect) -> Row {
    with(claimed(dialect), [("activated_at", (dialect.instant)(30)), ("status", text("activated"))])
}

pub(super) fn decommissioned(dialect: Dialect) -> Row {
    with(inactive(dialect), [("decommissioned_at", (dialect.instant)(40)), ("status", text("decommissioned"))])
}

pub(super) fn with<const N: usize>(mut row: Row, changes: [(&'static str, String); N]) -> Row {
    for (column, value) in changes {
        row.retain(|(name, _)| *name != column);
        row.push((column, value));
    }
    row
}

pub(super) fn insert(table: &str, row: &Row) -> String {
    let (names, values): (Vec<&str>, Vec<&str>) = row.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "))
}

/// A statement that must be rejected after the statements of `before` were accepted, and the name in the error of each
/// engine. SQLite names columns where PostgreSQL names indexes.
pub(super) struct Illegal {
    pub(super) before: Vec<String>,
    pub(super) statement: String,
    pub(super) postgres: &'static str,
    pub(super) sqlite: &'static str,
}
