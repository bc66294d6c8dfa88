//! Illegal rows of locations and idempotency keys, and devices at another merchant's location.

use super::rows::{Dialect, Illegal, MERCHANT, Row, inactive, insert, text, with};

pub(super) const LOCATION: &str = "'0c0c0c0c-0000-4000-8000-000000000001'";
const OTHER_MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000002'";
/// `AT` is a placeholder for an instant.
pub(super) const MERCHANT_ROW: &str =
    "INSERT INTO merchants VALUES ('0f0f0f0f-0000-4000-8000-000000000001', NULL, 'Shop', AT)";
const OTHER_MERCHANT_ROW: &str =
    "INSERT INTO merchants VALUES ('0f0f0f0f-0000-4000-8000-000000000002', NULL, 'Other shop', AT)";

fn changed(mut row: Row, changes: &[(&'static str, String)]) -> Row {
    for (column, value) in changes {
        row = with(row, [(*column, value.clone())]);
    }
    row
}

pub(super) fn location(dialect: Dialect, changes: &[(&'static str, String)]) -> String {
    let row: Row = vec![
        ("location_id", LOCATION.to_owned()),
        ("merchant_id", MERCHANT.to_owned()),
        ("name", text("Main street")),
        ("created_at", (dialect.instant)(1)),
    ];
    insert("locations", &changed(row, changes))
}

pub(super) fn key_row(dialect: Dialect, changes: &[(&'static str, String)]) -> String {
    let row: Row = vec![
        ("party_kind", text("merchant")),
        ("party_id", MERCHANT.to_owned()),
        ("idempotency_key", text("key")),
        ("fingerprint", (dialect.blob)(32)),
        ("response", text("{}")),
        ("created_at", (dialect.instant)(1)),
        ("expires_at", (dialect.instant)(2)),
    ];
    insert("idempotency_keys", &changed(row, changes))
}

pub(super) fn illegal_fleet_rows(dialect: Dialect) -> Vec<Illegal> {
    let merchants = || [MERCHANT_ROW, OTHER_MERCHANT_ROW].map(|row| row.replace("AT", &(dialect.instant)(0))).to_vec();
    let with_location = || [merchants(), vec![location(dialect, &[])]].concat();
    let case =
        |before: Vec<String>, statement: String, name| Illegal { before, statement, postgres: name, sqlite: name };
    let orphan = |before: Vec<String>, statement: String, postgres| Illegal {
        before,
        statement,
        postgres,
        sqlite: "FOREIGN KEY",
    };
    let at_location = with(inactive(dialect), [("location_id", LOCATION.to_owned())]);
    let at_foreign_location = with(at_location.clone(), [("merchant_id", OTHER_MERCHANT.to_owned())]);
    let with_name = |name: &str| location(dialect, &[("name", text(name))]);
    let with_key = |key: &str| key_row(dialect, &[("idempotency_key", text(key))]);
    let with_device = || [with_location(), vec![insert("devices", &at_location)]].concat();
    let mut cases = vec![
        orphan(Vec::new(), location(dialect, &[]), "locations_merchant_id_fkey"),
        orphan(
            with_location(),
            format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}"),
            "locations_merchant_id_fkey",
        ),
        orphan(Vec::new(), insert("devices", &inactive(dialect)), "devices_merchant"),
        orphan(
            vec![insert("devices", &inactive(dialect))],
            format!("UPDATE devices SET merchant_id = {OTHER_MERCHANT}"),
            "devices_merchant",
        ),
        orphan(
            vec![insert("devices", &inactive(dialect))],
            format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}"),
            "devices_merchant",
        ),
        orphan(merchants(), insert("devices", &at_location), "devices_own_location"),
        orphan(with_location(), insert("devices", &at_foreign_location), "devices_own_location"),
        orphan(with_device(), format!("UPDATE devices SET merchant_id = {OTHER_MERCHANT}"), "devices_own_location"),
        orphan(with_device(), format!("UPDATE locations SET merchant_id = {OTHER_MERCHANT}"), "devices_own_location"),
        orphan(with_device(), "DELETE FROM locations".to_owned(), "devices_own_location"),
        Illegal {
            before: with_location(),
            statement: location(dialect, &[("merchant_id", OTHER_MERCHANT.to_owned())]),
            postgres: "locations_pkey",
            sqlite: "locations.location_id",
        },
        case(merchants(), with_name(""), "locations_name_form"),
        case(merchants(), with_name("Main\nstreet"), "locations_name_form"),
        case(merchants(), with_name(&"x".repeat(201)), "locations_name_form"),
        Illegal {
            before: vec![key_row(dialect, &[])],
            statement: key_row(dialect, &[("response", text("another"))]),
            postgres: "idempotency_keys_pkey",
            sqlite: "idempotency_keys.party_kind, idempotency_keys.party_id, idempotency_keys.idempotency_key",
        },
        case(Vec::new(), key_row(dialect, &[("party_kind", text("operator"))]), "idempotency_keys_kind_word"),
        case(Vec::new(), with_key(""), "idempotency_keys_key_form"),
        case(Vec::new(), with_key("two words"), "idempotency_keys_key_form"),
        case(Vec::new(), with_key("sch\u{f6}n"), "idempotency_keys_key_form"),
        case(Vec::new(), with_key(&"x".repeat(256)), "idempotency_keys_key_form"),
        case(Vec::new(), key_row(dialect, &[("fingerprint", (dialect.blob)(31))]), "idempotency_keys_fingerprint_form"),
    ];
    for (column, postgres, sqlite) in [
        ("merchant_id", "\"merchant_id\"", "locations.merchant_id"),
        ("name", "\"name\"", "locations.name"),
        ("created_at", "\"created_at\"", "locations.created_at"),
    ] {
        let statement = location(dialect, &[(column, "NULL".to_owned())]);
        cases.push(Illegal { before: merchants(), statement, postgres, sqlite });
    }
    for (column, postgres, sqlite) in [
        ("response", "\"response\"", "idempotency_keys.response"),
        ("created_at", "\"created_at\"", "idempotency_keys.created_at"),
        ("expires_at", "\"expires_at\"", "idempotency_keys.expires_at"),
    ] {
        let statement = key_row(dialect, &[(column, "NULL".to_owned())]);
        cases.push(Illegal { before: Vec::new(), statement, postgres, sqlite });
    }
    cases
}
