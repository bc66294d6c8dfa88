//! Detection of tampering with the administrative trail and with the rows that grant access.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_application::audit::VerifiedTrail;
use pos_application::test_support::named;
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::device::{Device, DeviceDetails};
use pos_domain::shared::{
    ApiClientId, AuditContext, DeviceId, GrantId, LocationId, MerchantId, Party, ResellerId, Role, Scope,
};
use pos_domain::tenancy::{ApiClient, Location, SecretHash};
use pos_port_storage::Storage;
use pos_tests::app::app;
use pos_tests::stores;
use time::OffsetDateTime;
use uuid::Uuid;

const SHOP: MerchantId = MerchantId(Uuid::from_u128(0x51));
const OTHER: MerchantId = MerchantId(Uuid::from_u128(0x52));
const NORTH: ResellerId = ResellerId(Uuid::from_u128(0x61));
const BAR: LocationId = LocationId(Uuid::from_u128(0x71));

/// Statements that tamper with the data of [`populate`], and the expected faults. A checkpoint covers events 1 to 6 and
/// not event 7.
const TAMPERING: &[(&str, &[&str])] = &[
    ("UPDATE audit_events SET actor = 'user:mallory' WHERE number = 2", &["audit_events 2: the event was changed"]),
    (
        "UPDATE audit_events SET kind = 'merchant_updated' WHERE number = 3",
        &[
            "audit_events 3: the event was changed",
            "merchants merchant:00000000-0000-0000-0000-000000000052: the row exists, but no event created it",
        ],
    ),
    (
        "UPDATE audit_events SET detail = '{\"hard\":\"x\"}' WHERE number = 1",
        &["audit_events 1: the event was changed"],
    ),
    ("UPDATE audit_events SET client_ip = '198.51.100.8' WHERE number = 7", &["audit_events 7: the event was changed"]),
    (
        "UPDATE audit_events SET trace_id = '0000000000000000000000000000000a', hash = NULL WHERE number = 4",
        &["audit_events 4: the event was changed"],
    ),
    ("UPDATE audit_events SET hash = NULL WHERE number = 7", &["audit_events 7: the event has no digest"]),
    (
        "UPDATE audit_events SET hash = (SELECT hash FROM audit_checkpoint_entries WHERE number = 1) WHERE number = 7",
        &["audit_events 7: the event was changed"],
    ),
    (
        "DELETE FROM audit_events WHERE number = 4",
        &[
            "audit_events 4: the event is missing",
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row exists, but no event created it",
        ],
    ),
    (
        "INSERT INTO audit_events (at, actor, kind) SELECT at, actor, 'claim_refused' FROM audit_events WHERE number = 1",
        &["audit_events 8: the event has no digest"],
    ),
    (
        "UPDATE audit_checkpoint_entries SET hash = (SELECT hash FROM audit_checkpoint_entries WHERE number = 1) WHERE number = 2",
        &[
            "audit_checkpoints 1: the checkpoint or one of its entries was changed",
            "audit_events 2: the event was changed",
        ],
    ),
    (
        "DELETE FROM audit_checkpoint_entries WHERE number = 2",
        &["audit_checkpoints 1: the checkpoint or one of its entries was changed"],
    ),
    (
        "DELETE FROM audit_checkpoint_entries WHERE number = 2; DELETE FROM audit_events WHERE number = 2",
        &[
            "audit_checkpoints 1: the checkpoint or one of its entries was changed",
            "merchants merchant:00000000-0000-0000-0000-000000000051: the row exists, but no event created it",
        ],
    ),
    (
        "INSERT INTO audit_checkpoint_entries (number, checkpoint, at, hash) SELECT 7, 2, at, hash FROM audit_events WHERE number = 7",
        &["audit_checkpoints 2: the checkpoint or one of its entries was changed"],
    ),
    (
        "UPDATE audit_checkpoints SET through = 5 WHERE sequence = 0",
        &["audit_checkpoints 1: the checkpoint or one of its entries was changed"],
    ),
    (
        "UPDATE audit_checkpoints SET at = (SELECT at FROM audit_events WHERE number = 1) WHERE sequence = 2",
        &["audit_checkpoints 2: the checkpoint or one of its entries was changed"],
    ),
    (
        "DELETE FROM audit_checkpoint_entries WHERE checkpoint = 1; DELETE FROM audit_checkpoints WHERE sequence = 1",
        &["audit_checkpoints 1: checkpoints are missing from here to 1"],
    ),
    (
        "DELETE FROM audit_checkpoints WHERE sequence = 0",
        &["audit_checkpoints 0: checkpoints are missing from here to 0"],
    ),
    (
        "UPDATE memberships SET role = 'admin'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: role is admin, but the audit trail says viewer",
        ],
    ),
    (
        "UPDATE memberships SET user_id = 'eve'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is missing",
            "memberships user:eve at merchant:00000000-0000-0000-0000-000000000051: the row exists, but no event created it",
        ],
    ),
    (
        "UPDATE memberships SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is missing",
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000052: the row exists, but no event created it",
        ],
    ),
    (
        "DELETE FROM memberships",
        &["memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is missing"],
    ),
    (
        "INSERT INTO memberships (grant_id, user_id, merchant_id, role, created_at) \
         SELECT '0d0d0d0d-0000-4000-8000-0000000000ff', 'eve', merchant_id, role, created_at FROM memberships",
        &[
            "memberships user:eve at merchant:00000000-0000-0000-0000-000000000051: the row exists, but no event created it",
        ],
    ),
    (
        "UPDATE api_clients SET role = 'admin'",
        &["api_clients client:till: role is admin, but the audit trail says operator"],
    ),
    (
        "UPDATE api_clients SET revoked_at = created_at",
        &["api_clients client:till: revoked is true, but the audit trail says false"],
    ),
    (
        "UPDATE api_clients SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &[
            "api_clients client:till: party is merchant:00000000-0000-0000-0000-000000000052, but the audit trail says merchant:",
        ],
    ),
    ("DELETE FROM api_clients", &["api_clients client:till: the row is missing"]),
    (
        "UPDATE merchants SET reseller_id = NULL",
        &["merchants merchant:00000000-0000-0000-0000-000000000051: reseller is none, but the audit trail says"],
    ),
    (
        "INSERT INTO resellers (reseller_id, name, created_at) \
         SELECT '00000000-0000-0000-0000-000000000062', name, created_at FROM resellers",
        &["resellers reseller:00000000-0000-0000-0000-000000000062: the row exists, but no event created it"],
    ),
    (
        "UPDATE locations SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &["locations location:00000000-0000-0000-0000-000000000071: merchant is 00000000-0000-0000-0000-000000000052"],
    ),
    ("DELETE FROM locations", &["locations location:00000000-0000-0000-0000-000000000071: the row is missing"]),
    (
        "UPDATE devices SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &["POS-00000001 1: the device's row names another merchant than this event"],
    ),
];

async fn append_checkpoints(storage: &Storage) -> u64 {
    app(storage).audit.append_checkpoints.run().await.unwrap()
}

/// Stores a reseller, two merchants, a member, a client and a location, in this order, and a device. Only the
/// location's event is not covered by a checkpoint.
async fn populate(storage: &Storage) {
    let (app, party) = (app(storage), Party::Merchant(SHOP));
    app.add_reseller(NORTH, "North").await;
    app.add_merchant(SHOP, "Shop", Some(NORTH)).await;
    app.add_merchant(OTHER, "Other", None).await;
    assert_eq!(append_checkpoints(storage).await, 3);
    app.add_member("ann", party, Role::Viewer).await;
    let now = OffsetDateTime::UNIX_EPOCH;
    let id = ApiClientId::parse("till").unwrap();
    let event = |kind, subject| AuditEvent::of(kind, subject, AuditContext::operator(), now).for_merchant(SHOP);
    let added = event(AuditKind::ClientAdded, Subject::Client(id.clone()))
        .with("party", Subject::from(party))
        .with("role", Role::Operator);
    let grant = GrantId(Uuid::from_u128(0x81));
    let till = ApiClient { id, grant, party, role: Role::Operator, created_at: now, revoked_at: None };
    let secret = SecretHash::of_secret("secret");
    storage.clients.add(&till, &secret, &added).await.unwrap();
    let reason = event(AuditKind::ClaimRefused, Subject::Merchant(SHOP)).with("reason", "used");
    storage.trail.record(&reason).await.unwrap();
    assert_eq!(append_checkpoints(storage).await, 3);
    let bar = Location { id: BAR, merchant_id: SHOP, name: named("Bar"), created_at: now };
    let added = event(AuditKind::LocationAdded, Subject::Location(BAR));
    storage.locations.add_location(Scope::Operator, &bar, None, &added).await.unwrap();
    let device =
        Device::provision(DeviceId::from_bits(1), SHOP, DeviceDetails::default(), AuditContext::operator(), now);
    storage.fleet.create(Scope::Operator, &[device], None).await.unwrap();
}

async fn verify_all(storage: &Storage) -> (VerifiedTrail, Vec<String>) {
    let mut faults = Vec::new();
    let app = app(storage);
    let devices = app.verified_chains().await;
    let found = app.audit.verify_trail.run(&mut |fault| faults.push(fault.to_string())).await.unwrap();
    faults.extend(devices.faults.into_iter().map(|(id, found)| format!("{id} {}: {}", found.sequence, found.fault)));
    (found, faults)
}

async fn assert_detected(storage: &Storage, statement: &str, expected: &[&str]) {
    let (_, faults) = verify_all(storage).await;
    assert_eq!(faults.len(), expected.len(), "{statement}: {faults:?}");
    for (message, prefix) in faults.iter().zip(expected) {
        assert!(message.starts_with(prefix), "{statement}: {message:?}");
    }
    // A later checkpoint hides no fault.
    if !statement.contains("audit_checkpoints") {
        append_checkpoints(storage).await;
        for prefix in expected {
            let (_, faults) = verify_all(storage).await;
            assert!(faults.iter().any(|message| message.starts_with(prefix)), "{statement}, checkpointed: {faults:?}");
        }
    }
}

async fn assert_no_faults(storage: &Storage) {
    let (found, faults) = verify_all(storage).await;
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!((found.events, found.unchained, found.undigested, found.removed, found.rows), (7, 1, 0, 0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_postgres_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, database) = stores::postgres().await;
        populate(&storage).await;
        assert_no_faults(&storage).await;
        // The owner of the database can bypass the foreign keys.
        let unchecked = format!("SET session_replication_role = replica; {statement}");
        database.client().await.batch_execute(&unchecked).await.unwrap();
        assert_detected(&storage, statement, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tampering_in_sqlite_is_detected() {
    for (statement, expected) in TAMPERING {
        let (storage, folder) = stores::sqlite().await;
        populate(&storage).await;
        assert_no_faults(&storage).await;
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {statement}")).unwrap();
        assert_detected(&storage, statement, expected).await;
    }
}

/// A transaction that takes its number early and commits late is covered by a later checkpoint and is no fault.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_committed_late_gets_a_later_checkpoint() {
    let (storage, database) = stores::postgres().await;
    let mut late = database.client().await;
    let transaction = late.transaction().await.unwrap();
    let taken = transaction.query_one("SELECT nextval(pg_get_serial_sequence('audit_events', 'number'))", &[]);
    let number: i64 = taken.await.unwrap().get(0);
    populate(&storage).await;
    assert_eq!(append_checkpoints(&storage).await, 1);
    let copy = "INSERT INTO audit_events (number, at, actor, merchant_id, kind, subject, detail, hash) OVERRIDING SYSTEM \
        VALUE SELECT $1, at, actor, merchant_id, kind, subject, detail, hash FROM audit_events WHERE kind = 'claim_refused'";
    transaction.execute(copy, &[&number]).await.unwrap();
    transaction.commit().await.unwrap();
    let (found, faults) = verify_all(&storage).await;
    assert_eq!((found.unchained, faults), (1, Vec::new()));
    assert_eq!(append_checkpoints(&storage).await, 1);
    let (found, faults) = verify_all(&storage).await;
    assert_eq!((found.unchained, faults), (0, Vec::new()));
}
