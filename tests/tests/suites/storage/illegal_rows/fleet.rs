//! Rows of locations and kept answers that cannot be, and devices at places that are not theirs.

use super::rows::{Dialect, Illegal, MERCHANT, Row, inactive, insert, text, with};

pub(super) const LOCATION: &str = "'0c0c0c0c-0000-4000-8000-000000000001'";
const OTHER_MERCHANT: &str = "'0f0f0f0f-0000-4000-8000-000000000002'";
/// `AT` stands for an instant.
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

pub(super) fn answer(dialect: Dialect, changes: &[(&'static str, String)]) -> String {
    let row: Row = vec![
        ("party_kind", text("merchant")),
        ("party_id", MERCHANT.to_owned()),
        ("idempotency_key", text("key")),
        ("fingerprint", (dialect.blob)(32)),
        ("answer", text("{}")),
        ("created_at", (dialect.instant)(1)),
        ("keep_until", (dialect.instant)(2)),
    ];
    insert("creation_answers", &changed(row, changes))
}

pub(super) fn illegal_fleets(dialect: Dialect) -> Vec<Illegal> {
    let merchants = || [MERCHANT_ROW, OTHER_MERCHANT_ROW].map(|row| row.replace("AT", &(dialect.instant)(0))).to_vec();
    let placed = || [merchants(), vec![location(dialect, &[])]].concat();
    let both =
        |before: Vec<String>, statement: String, name| Illegal { before, statement, postgres: name, sqlite: name };
    let unreferenced = |before: Vec<String>, statement: String, postgres| Illegal {
        before,
        statement,
        postgres,
        sqlite: "FOREIGN KEY",
    };
    let at_location = with(inactive(dialect), [("location_id", LOCATION.to_owned())]);
    let theirs = with(at_location.clone(), [("merchant_id", OTHER_MERCHANT.to_owned())]);
    let named = |name: &str| location(dialect, &[("name", text(name))]);
    let keyed = |key: &str| answer(dialect, &[("idempotency_key", text(key))]);
    let standing = || [placed(), vec![insert("devices", &at_location)]].concat();
    let mut cases = vec![
        unreferenced(Vec::new(), location(dialect, &[]), "locations_merchant_id_fkey"),
        unreferenced(
            placed(),
            format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}"),
            "locations_merchant_id_fkey",
        ),
        unreferenced(Vec::new(), insert("devices", &inactive(dialect)), "devices_merchant"),
        unreferenced(
            vec![insert("devices", &inactive(dialect))],
            format!("UPDATE devices SET merchant_id = {OTHER_MERCHANT}"),
            "devices_merchant",
        ),
        unreferenced(
            vec![insert("devices", &inactive(dialect))],
            format!("DELETE FROM merchants WHERE merchant_id = {MERCHANT}"),
            "devices_merchant",
        ),
        unreferenced(merchants(), insert("devices", &at_location), "devices_own_location"),
        unreferenced(placed(), insert("devices", &theirs), "devices_own_location"),
        unreferenced(standing(), format!("UPDATE devices SET merchant_id = {OTHER_MERCHANT}"), "devices_own_location"),
        unreferenced(
            standing(),
            format!("UPDATE locations SET merchant_id = {OTHER_MERCHANT}"),
            "devices_own_location",
        ),
        unreferenced(standing(), "DELETE FROM locations".to_owned(), "devices_own_location"),
        Illegal {
            before: placed(),
            statement: location(dialect, &[("merchant_id", OTHER_MERCHANT.to_owned())]),
            postgres: "locations_pkey",
            sqlite: "locations.location_id",
        },
        both(merchants(), named(""), "locations_name_form"),
        both(merchants(), named("Main\nstreet"), "locations_name_form"),
        both(merchants(), named(&"x".repeat(201)), "locations_name_form"),
        Illegal {
            before: vec![answer(dialect, &[])],
            statement: answer(dialect, &[("answer", text("another"))]),
            postgres: "creation_answers_pkey",
            sqlite: "creation_answers.party_kind, creation_answers.party_id, creation_answers.idempotency_key",
        },
        both(Vec::new(), answer(dialect, &[("party_kind", text("operator"))]), "creation_answers_kind_word"),
        both(Vec::new(), keyed(""), "creation_answers_key_form"),
        both(Vec::new(), keyed("two words"), "creation_answers_key_form"),
        both(Vec::new(), keyed("sch\u{f6}n"), "creation_answers_key_form"),
        both(Vec::new(), keyed(&"x".repeat(256)), "creation_answers_key_form"),
        both(Vec::new(), answer(dialect, &[("fingerprint", (dialect.blob)(31))]), "creation_answers_fingerprint_form"),
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
        ("answer", "\"answer\"", "creation_answers.answer"),
        ("created_at", "\"created_at\"", "creation_answers.created_at"),
        ("keep_until", "\"keep_until\"", "creation_answers.keep_until"),
    ] {
        let statement = answer(dialect, &[(column, "NULL".to_owned())]);
        cases.push(Illegal { before: Vec::new(), statement, postgres, sqlite });
    }
    cases
}
