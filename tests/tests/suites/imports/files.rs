//! What a file comes to.

use pos_application::VerifyAudit;
use pos_domain::{Actor, DeviceId, Name};
use pos_port_storage::History;
use pos_tests::server::{MERCHANT, OTHER_MERCHANT, send};
use pos_tests::stores::TestStore;
use serde_json::json;

use super::world::{
    CSV, JSON_LINES, SECOND_SHOP, SECOND_TILL, TILL, World, call, call_by, csv, on_both_engines, report, user,
};

on_both_engines!(
    a_csv_file_is_imported_whole,
    json_lines_are_imported_whole,
    every_refusal_is_told_with_its_row,
    lines_behind_an_open_quote_are_in_the_report,
    lines_of_commas_refuse_nothing,
    one_refused_row_refuses_all,
    devices_are_on_record,
    a_file_of_no_rows_is_none,
    thousands_are_imported_in_batches,
);

async fn a_csv_file_is_imported_whole(store: TestStore) {
    let world = World::on(store).await;
    let file = format!(
        "\u{FEFF}location_id,label,device_id,merchant_id\r\n{TILL},\"Bar, left\",POS-00000001,{MERCHANT}\r\n,,POS-00000002,{SECOND_SHOP}\r\n"
    );
    for (number, query) in ["", "?mode=all_or_nothing", "?mode=best_effort"].into_iter().enumerate() {
        let file = file.replace("POS-0000000", &format!("POS-0000{number}00"));
        let report = world.import(query, "Text/CSV; charset=\"UTF-8\"", file).await;
        assert_eq!(report.totals, json!({"rows": 2, "provisioned": 2, "refused": 0}));
        let id = format!("POS-0000{number}001");
        assert_eq!(report.rows[0], json!({"row": 1, "device_id": id, "result": "provisioned"}));
        let device = world.storage.devices.find(&DeviceId::parse(&id).unwrap()).await.unwrap().unwrap();
        assert_eq!(device.details().label.as_ref().map(Name::as_str), Some("Bar, left"));
        assert_eq!((device.details().location_id, device.merchant_id()), (Some(TILL), MERCHANT));
    }
    assert_eq!(world.devices().await.len(), 6);
}

async fn json_lines_are_imported_whole(store: TestStore) {
    let world = World::on(store).await;
    for (number, (media_type, query)) in
        [(JSON_LINES, ""), ("application/jsonl", "?mode=best_effort")].into_iter().enumerate()
    {
        let line = |row: usize| {
            let id = format!("POS-{:08X}", number * 10 + row);
            json!({"device_id": id, "merchant_id": MERCHANT.to_string(), "label": "Kasse № 1"})
        };
        let report = world.import(query, media_type, format!("{}\n\n{}", line(1), line(2))).await;
        assert_eq!(report.words(), ["provisioned", "provisioned"]);
    }
    assert_eq!(world.devices().await.len(), 4);
}

async fn lines_behind_an_open_quote_are_in_the_report(store: TestStore) {
    let world = World::on(store).await;
    let row = |number: u32, label: &str| format!("POS-{number:08X},{MERCHANT},{label}\n");
    let rows = [row(1, "ok"), row(2, "\"Till"), row(3, "x"), row(4, "x")].concat();
    let file = format!("device_id,merchant_id,label\n{rows}");
    let told = world.import("", CSV, file.clone()).await;
    assert_eq!(told.words(), ["not_imported", "malformed", "not_imported", "not_imported"]);
    let told = world.import("?mode=best_effort", CSV, file).await;
    assert_eq!(told.words(), ["provisioned", "malformed", "provisioned", "provisioned"]);
    let message = "a quote is left open at the end of the line; a field cannot contain a line break";
    assert_eq!(told.rows[1]["message"], message);
    assert_eq!(told.totals, json!({"rows": 4, "provisioned": 3, "refused": 1}));
}

/// As spreadsheets leave them.
async fn lines_of_commas_refuse_nothing(store: TestStore) {
    let world = World::on(store).await;
    for (number, query) in ["", "?mode=best_effort"].into_iter().enumerate() {
        let row = |row: usize| format!("POS-{:08X},{MERCHANT},Bar\r\n", number * 10 + row);
        let file = format!(",,\r\ndevice_id,merchant_id,label\r\n{},,\r\n{}, ,\r\n,,\r\n", row(1), row(2));
        let told = world.import(query, CSV, file).await;
        assert_eq!(told.words(), ["provisioned", "provisioned"]);
        let row = |row: usize| json!({"device_id": format!("POS-{:08X}", number * 10 + row), "merchant_id": MERCHANT.to_string()});
        let blank = json!({"device_id": "", "merchant_id": "", "label": ""});
        let told = world.import(query, JSON_LINES, format!("{}\n{blank}\n{}\n{blank}\n", row(3), row(4))).await;
        assert_eq!(told.words(), ["provisioned", "provisioned"]);
    }
}

/// A file in which every row is refused for another reason, but for three that are fine.
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
        &format!("POS-00000008,{SECOND_SHOP},,{SECOND_TILL}"),
        &format!("POS-00000001,{SECOND_SHOP},,"),
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

async fn every_refusal_is_told_with_its_row(store: TestStore) {
    let world = World::on(store).await;
    // Somebody else's: that it is taken is told, whose it is is not.
    let zoes = csv(0xFFFF, 1, OTHER_MERCHANT);
    report(send(call_by("zoe", &world.server, "", CSV, zoes)).await);
    let told = world.import("?mode=best_effort", CSV, all_reasons()).await;
    assert_eq!(told.words(), REASONS);
    let ids: Vec<_> = world.devices().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["POS-00000001", "POS-00000008", "POS-00000009", "POS-0000FFFF"]);
    let expected = json!({
        "row": 2, "result": "refused", "reason": "malformed",
        "message": "the row has 2 fields, and the header line names 4",
    });
    assert_eq!(told.rows[1], expected);
    assert_eq!(told.rows[9]["message"], "row 1 has this device_id already");
    let expected = json!({
        "row": 11, "device_id": "POS-0000FFFF", "result": "refused", "reason": "taken",
        "message": "Device already exists",
    });
    assert_eq!(told.rows[10], expected);
    assert!(!format!("{told:?}").contains(&OTHER_MERCHANT.to_string()));
}

async fn one_refused_row_refuses_all(store: TestStore) {
    let world = World::on(store).await;
    let told = world.import("", CSV, all_reasons().replace("POS-0000FFFF", "POS-0000000A")).await;
    let expected = REASONS.map(|word| match word {
        "provisioned" | "taken" => "not_imported",
        other => other,
    });
    assert_eq!(told.words(), expected);
    assert_eq!(told.rows[0]["message"], "nothing is imported, because row 2 is refused");
    assert_eq!(world.devices().await, []);
}

/// Each device has its first event, by whoever sent the file, with the call's trace id, and a chain that holds.
async fn devices_are_on_record(store: TestStore) {
    let world = World::on(store).await;
    for (from, query) in [(1, ""), (10, "?mode=best_effort")] {
        let answer = send(call(&world.server, query, CSV, csv(from, 2, MERCHANT))).await;
        let trace_id = answer.header("x-trace-id").unwrap().to_owned();
        let history = History::whole(&DeviceId::from_bits(from));
        let events = world.storage.events.events_of(&history).await.unwrap();
        assert_eq!((events.len(), events[0].kind.as_str()), (1, "provisioned"));
        assert_eq!(events[0].act.actor, Actor::User(user("rob")));
        assert_eq!(events[0].act.trace_id.map(|id| id.to_string()), Some(trace_id));
        assert!(events[0].act.origin.is_some_and(|origin| origin.is_loopback()));
    }
    let verify = VerifyAudit::new(world.storage.fleet.clone(), world.storage.events.clone());
    let verified = verify.page(None).await.unwrap();
    assert_eq!((verified.devices, verified.faults.len()), (4, 0), "{:?}", verified.faults);
}

async fn a_file_of_no_rows_is_none(store: TestStore) {
    let world = World::on(store).await;
    for (media_type, file) in [(CSV, "device_id,merchant_id\n"), (JSON_LINES, "")] {
        let report = world.import("", media_type, file).await;
        assert_eq!(report.totals, json!({"rows": 0, "provisioned": 0, "refused": 0}));
    }
}

async fn thousands_are_imported_in_batches(store: TestStore) {
    let world = World::on(store).await;
    for (from, query) in [(1, ""), (10_000, "?mode=best_effort")] {
        let report = world.import(query, CSV, csv(from, 2_345, MERCHANT)).await;
        assert_eq!(report.totals, json!({"rows": 2_345, "provisioned": 2_345, "refused": 0}));
    }
    assert_eq!(world.devices().await.len(), 4_690);
}
