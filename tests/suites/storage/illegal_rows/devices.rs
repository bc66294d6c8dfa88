//! Illegal rows of the table `devices`.

use super::rows::{Dialect, Illegal, Row, activated, claimed, decommissioned, inactive, insert, text, waiting, with};

pub(super) fn illegal_devices(dialect: Dialect) -> Vec<Illegal> {
    let null = || "NULL".to_owned();
    let at = dialect.instant;
    let blob = dialect.blob;
    let (inactive, waiting) = (|| inactive(dialect), || waiting(dialect));
    let (claimed, activated) = (|| claimed(dialect), || activated(dialect));
    let decommissioned = || decommissioned(dialect);
    let id = |name: &str| (with(inactive(), [("device_id", text(name))]), "devices_id_form");
    let code = |symbols: &str| (with(waiting(), [("pairing_code", text(symbols))]), "devices_code_form");
    let user = |name: &str| (with(claimed(), [("claimed_by", text(name))]), "devices_claimed_by_form");
    let label = |name: &str| (with(inactive(), [("label", text(name))]), "devices_label_form");
    let facts = |row: Row| (row, "devices_status_columns");
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
        (with(inactive(), [("version", "0".to_owned())]), "devices_version_positive"),
        (with(inactive(), [("version", "-1".to_owned())]), "devices_version_positive"),
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
        (with(waiting(), [("code_issued_at", null())]), "devices_code_complete"),
        (with(waiting(), [("code_expires_at", null())]), "devices_code_complete"),
        (with(waiting(), [("pairing_code", null())]), "devices_code_complete"),
        (with(inactive(), [("code_issued_at", at(1))]), "devices_code_complete"),
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
        facts(with(inactive(), [("status", text("decommissioned"))])),
        facts(with(inactive(), [("decommissioned_at", at(40))])),
        facts(with(waiting(), [("decommissioned_at", at(40))])),
        facts(with(claimed(), [("decommissioned_at", at(40))])),
        facts(with(activated(), [("decommissioned_at", at(40))])),
        facts(with(waiting(), [("decommissioned_at", at(40)), ("status", text("decommissioned"))])),
        facts(with(decommissioned(), [("claimed_by", text("anna"))])),
        facts(with(decommissioned(), [("claimed_at", at(20))])),
        facts(with(decommissioned(), [("activated_at", at(30))])),
        label(""),
        label("Till\n1"),
        label("Till\u{7f}"),
        label("Till\u{85}"),
        label(&"\u{e9}".repeat(201)),
        (with(claimed(), [("claimed_at", at(310))]), "devices_claimed_in_time"),
        (with(activated(), [("claimed_at", at(311))]), "devices_claimed_in_time"),
        (with(inactive(), [("app_version", text("1.0"))]), "devices_terminal_info_complete"),
        (with(inactive(), [("seen_at", at(1))]), "devices_terminal_info_complete"),
        (with(inactive(), [("os", text("Android 12"))]), "devices_terminal_info_complete"),
        (with(inactive(), [("model", text("PAX-A920"))]), "devices_terminal_info_complete"),
        (with(inactive(), [("app_version", text("")), ("seen_at", at(1))]), "devices_terminal_info_bounded"),
        (with(inactive(), [("app_version", text(&long)), ("seen_at", at(1))]), "devices_terminal_info_bounded"),
        (
            with(inactive(), [("app_version", text("1")), ("seen_at", at(1)), ("os", text(&long))]),
            "devices_terminal_info_bounded",
        ),
        (
            with(inactive(), [("app_version", text("1")), ("seen_at", at(1)), ("model", text(&long))]),
            "devices_terminal_info_bounded",
        ),
        (with(inactive(), [("chain_start", "1".to_owned())]), "devices_chain_complete"),
        (with(inactive(), [("chain_tip", blob(32))]), "devices_chain_complete"),
        (with(inactive(), [("chain_start", "0".to_owned()), ("chain_tip", blob(32))]), "devices_chain_form"),
        (with(inactive(), [("chain_start", "2".to_owned()), ("chain_tip", blob(32))]), "devices_chain_form"),
        (with(inactive(), [("chain_start", "1".to_owned()), ("chain_tip", blob(31))]), "devices_chain_form"),
    ];
    let illegal = |(row, name): (Row, &'static str)| Illegal {
        before: Vec::new(),
        statement: insert("devices", &row),
        postgres: name,
        sqlite: name,
    };
    let mut cases: Vec<Illegal> = rows.into_iter().map(illegal).collect();
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
