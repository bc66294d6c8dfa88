//! Imported files: formats, row results, and audit events.

use pos_application::test_support::SISTER;
use pos_domain::shared::{Actor, DeviceId, Name};
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use serde_json::json;

use super::fixture::{
    CSV, ImportFixture, JSON_LINES, SECOND_TILL, TILL, csv, on_both_engines, report, request, request_by, user,
};

on_both_engines!(
    a_csv_file_is_imported,
    json_lines_are_imported,
    each_refused_row_is_reported_with_its_reason,
    an_open_quote_refuses_only_its_own_line,
    blank_rows_are_skipped,
    in_all_or_nothing_mode_one_refused_row_refuses_all,
    imported_devices_are_audited,
    a_file_without_rows_imports_nothing,
    thousands_of_rows_are_imported_in_batches,
);

async fn a_csv_file_is_imported(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = format!(
        "\u{FEFF}location_id,label,device_id,merchant_id\r\n{TILL},\"Bar, left\",POS-00000001,{MERCHANT}\r\n,,POS-00000002,{SISTER}\r\n"
    );
    for (number, query) in ["", "?mode=all_or_nothing", "?mode=best_effort"].into_iter().enumerate() {
        let file = file.replace("POS-0000000", &format!("POS-0000{number}00"));
        let report = fixture.import(query, "Text/CSV; charset=\"UTF-8\"", file).await;
        assert_eq!(report.totals, json!({"rows": 2, "provisioned": 2, "refused": 0}));
        let id = format!("POS-0000{number}001");
        assert_eq!(report.rows[0], json!({"row": 1, "device_id": id, "result": "provisioned"}));
        let device = fixture.app.storage.devices.find(&DeviceId::parse(&id).unwrap()).await.unwrap().unwrap();
        assert_eq!(device.details().label.as_ref().map(Name::as_str), Some("Bar, left"));
        assert_eq!((device.details().location_id, device.merchant_id()), (Some(TILL), MERCHANT));
    }
    assert_eq!(fixture.devices().await.len(), 6);
}

async fn json_lines_are_imported(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (number, (media_type, query)) in
        [(JSON_LINES, ""), ("application/jsonl", "?mode=best_effort")].into_iter().enumerate()
    {
        let line = |row: usize| {
            let id = format!("POS-{:08X}", number * 10 + row);
            json!({"device_id": id, "merchant_id": MERCHANT.to_string(), "label": "Kasse № 1"})
        };
        let report = fixture.import(query, media_type, format!("{}\n\n{}", line(1), line(2))).await;
        assert_eq!(report.results(), ["provisioned", "provisioned"]);
    }
    assert_eq!(fixture.devices().await.len(), 4);
}

async fn an_open_quote_refuses_only_its_own_line(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let row = |number: u32, label: &str| format!("POS-{number:08X},{MERCHANT},{label}\n");
    let rows = [row(1, "ok"), row(2, "\"Till"), row(3, "x"), row(4, "x")].concat();
    let file = format!("device_id,merchant_id,label\n{rows}");
    let report = fixture.import("", CSV, file.clone()).await;
    assert_eq!(report.results(), ["not_imported", "malformed", "not_imported", "not_imported"]);
    let report = fixture.import("?mode=best_effort", CSV, file).await;
    assert_eq!(report.results(), ["provisioned", "malformed", "provisioned", "provisioned"]);
    let message = "a quote is not closed at the end of the line; a field cannot contain a line break";
    assert_eq!(report.rows[1]["message"], message);
    assert_eq!(report.totals, json!({"rows": 4, "provisioned": 3, "refused": 1}));
}

/// Spreadsheets export empty rows as commas.
async fn blank_rows_are_skipped(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (number, query) in ["", "?mode=best_effort"].into_iter().enumerate() {
        let row = |row: usize| format!("POS-{:08X},{MERCHANT},Bar\r\n", number * 10 + row);
        let file = format!(",,\r\ndevice_id,merchant_id,label\r\n{},,\r\n{}, ,\r\n,,\r\n", row(1), row(2));
        let report = fixture.import(query, CSV, file).await;
        assert_eq!(report.results(), ["provisioned", "provisioned"]);
        let row = |row: usize| json!({"device_id": format!("POS-{:08X}", number * 10 + row), "merchant_id": MERCHANT.to_string()});
        let blank = json!({"device_id": "", "merchant_id": "", "label": ""});
        let report = fixture.import(query, JSON_LINES, format!("{}\n{blank}\n{}\n{blank}\n", row(3), row(4))).await;
        assert_eq!(report.results(), ["provisioned", "provisioned"]);
    }
}

/// A file in which each row is refused for a different reason, except for three valid rows.
fn all_reasons() -> String {
    [
        "device_id,merchant_id,label,location_id",
        &format!("POS-00000001,{MERCHANT},,"),
        &format!("POS-00000002,{MERCHANT}"),
        &format!("pos-2,{MERCHANT},,"),
        "POS-00000003,shop,,",
        &format!("POS-00000004,{MERCHANT},{},", "x".repeat(201)),
        &format!("POS-00000005,{MERCHANT},,till"),
        &format!("POS-00000006,{OTHER_MERCHANT},,"),
        &format!("POS-00000007,{MERCHANT},,{SECOND_TILL}"),
        &format!("POS-00000008,{SISTER},,{SECOND_TILL}"),
        &format!("POS-00000001,{SISTER},,"),
        &format!("POS-0000FFFF,{MERCHANT},,"),
        &format!("POS-00000009,{MERCHANT},,{TILL}"),
        "",
    ]
    .join("\n")
}

const REASONS: [&str; 12] = [
    "provisioned",
    "malformed",
    "invalid_device_id",
    "invalid_merchant_id",
    "invalid_label",
    "invalid_location_id",
    "unknown_merchant",
    "unknown_location",
    "provisioned",
    "duplicate",
    "taken",
    "provisioned",
];

async fn each_refused_row_is_reported_with_its_reason(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    // A device of another reseller: the report says that the id is taken, and not by whom.
    let zoes = csv(0xFFFF, 1, OTHER_MERCHANT);
    report(send(request_by("zoe", &fixture.server, "", CSV, zoes)).await);
    let report = fixture.import("?mode=best_effort", CSV, all_reasons()).await;
    assert_eq!(report.results(), REASONS);
    let ids: Vec<_> = fixture.devices().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["POS-00000001", "POS-00000008", "POS-00000009", "POS-0000FFFF"]);
    let expected = json!({
        "row": 2, "result": "refused", "reason": "malformed",
        "message": "the row has 2 fields, but the header line has 4",
    });
    assert_eq!(report.rows[1], expected);
    assert_eq!(report.rows[9]["message"], "row 1 has this device_id already");
    let expected = json!({
        "row": 11, "device_id": "POS-0000FFFF", "result": "refused", "reason": "taken",
        "message": "Device already exists",
    });
    assert_eq!(report.rows[10], expected);
    assert!(!format!("{report:?}").contains(&OTHER_MERCHANT.to_string()));
}

async fn in_all_or_nothing_mode_one_refused_row_refuses_all(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let report = fixture.import("", CSV, all_reasons().replace("POS-0000FFFF", "POS-0000000A")).await;
    let expected = REASONS.map(|reason| match reason {
        "provisioned" | "taken" => "not_imported",
        other => other,
    });
    assert_eq!(report.results(), expected);
    assert_eq!(report.rows[0]["message"], "nothing is imported, because row 2 is refused");
    assert_eq!(fixture.devices().await, []);
}

/// Each device has its first event, with the uploading user and the request's trace id, and a valid hash chain.
async fn imported_devices_are_audited(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (from, query) in [(1, ""), (10, "?mode=best_effort")] {
        let answer = send(request(&fixture.server, query, CSV, csv(from, 2, MERCHANT))).await;
        let trace_id = answer.header("x-trace-id").unwrap().to_owned();
        let events = fixture.app.device_events(&DeviceId::from_bits(from)).await;
        assert_eq!((events.len(), events[0].kind.as_str()), (1, "provisioned"));
        assert_eq!(events[0].audit_context.actor, Actor::User(user("rob")));
        assert_eq!(events[0].audit_context.trace_id.map(|id| id.to_string()), Some(trace_id));
        assert!(events[0].audit_context.client_ip.is_some_and(|client_ip| client_ip.is_loopback()));
    }
    let verified = fixture.app.verified_chains().await;
    assert_eq!((verified.devices, verified.faults.len()), (4, 0), "{:?}", verified.faults);
}

async fn a_file_without_rows_imports_nothing(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (media_type, file) in [(CSV, "device_id,merchant_id\n"), (JSON_LINES, "")] {
        let report = fixture.import("", media_type, file).await;
        assert_eq!(report.totals, json!({"rows": 0, "provisioned": 0, "refused": 0}));
    }
}

async fn thousands_of_rows_are_imported_in_batches(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (from, query) in [(1, ""), (10_000, "?mode=best_effort")] {
        let report = fixture.import(query, CSV, csv(from, 2_345, MERCHANT)).await;
        assert_eq!(report.totals, json!({"rows": 2_345, "provisioned": 2_345, "refused": 0}));
    }
    assert_eq!(fixture.devices().await.len(), 4_690);
}
