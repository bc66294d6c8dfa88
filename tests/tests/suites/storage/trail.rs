//! A hand at the database edits the administrative trail or a row that decides who may act, and the verification says so.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_application::{ManageDirectory, ManageMembers, SealAudit, VerifiedTrail, VerifyAudit, VerifyTrail};
use pos_domain::{
    Act, ApiClient, ApiClientId, AuditEvent, AuditKind, Device, DeviceDetails, DeviceId, GrantId, Location, LocationId,
    Member, MerchantId, Name, Party, ResellerId, Role, Scope, SecretHash, Subject, UserId,
};
use pos_port_storage::Storage;
use pos_tests::stores;
use time::OffsetDateTime;
use uuid::Uuid;

const SHOP: MerchantId = MerchantId(Uuid::from_u128(0x51));
const OTHER: MerchantId = MerchantId(Uuid::from_u128(0x52));
const NORTH: ResellerId = ResellerId(Uuid::from_u128(0x61));
const BAR: LocationId = LocationId(Uuid::from_u128(0x71));

/// What a hand does to the world below, whose events 1 to 6 are sealed and whose event 7 is not, and what is said.
const EDITS: &[(&str, &[&str])] = &[
    ("UPDATE audit_events SET actor = 'user:mallory' WHERE number = 2", &["audit_events 2: the event was changed"]),
    (
        "UPDATE audit_events SET kind = 'merchant_amended' WHERE number = 3",
        &[
            "audit_events 3: the event was changed",
            "merchants merchant:00000000-0000-0000-0000-000000000052: the row is there, and no event made it",
        ],
    ),
    (
        "UPDATE audit_events SET detail = '{\"hard\":\"x\"}' WHERE number = 1",
        &["audit_events 1: the event was changed"],
    ),
    ("UPDATE audit_events SET origin = '198.51.100.8' WHERE number = 7", &["audit_events 7: the event was changed"]),
    (
        "UPDATE audit_events SET trace_id = '0000000000000000000000000000000a', hash = NULL WHERE number = 4",
        &["audit_events 4: the event was changed"],
    ),
    ("UPDATE audit_events SET hash = NULL WHERE number = 7", &["audit_events 7: the event has no digest"]),
    (
        "UPDATE audit_events SET hash = (SELECT hash FROM audit_seals WHERE number = 1) WHERE number = 7",
        &["audit_events 7: the event was changed"],
    ),
    (
        "DELETE FROM audit_events WHERE number = 4",
        &[
            "audit_events 4: the event is missing",
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is there, and no event made it",
        ],
    ),
    (
        "INSERT INTO audit_events (at, actor, kind) SELECT at, actor, 'claim_refused' FROM audit_events WHERE number = 1",
        &["audit_events 8: the event has no digest"],
    ),
    (
        "UPDATE audit_seals SET hash = (SELECT hash FROM audit_seals WHERE number = 1) WHERE number = 2",
        &[
            "audit_checkpoints 1: the checkpoint or one of its seals was changed",
            "audit_events 2: the event was changed",
        ],
    ),
    (
        "DELETE FROM audit_seals WHERE number = 2",
        &["audit_checkpoints 1: the checkpoint or one of its seals was changed"],
    ),
    (
        "DELETE FROM audit_seals WHERE number = 2; DELETE FROM audit_events WHERE number = 2",
        &[
            "audit_checkpoints 1: the checkpoint or one of its seals was changed",
            "merchants merchant:00000000-0000-0000-0000-000000000051: the row is there, and no event made it",
        ],
    ),
    (
        "INSERT INTO audit_seals (number, checkpoint, at, hash) SELECT 7, 2, at, hash FROM audit_events WHERE number = 7",
        &["audit_checkpoints 2: the checkpoint or one of its seals was changed"],
    ),
    (
        "UPDATE audit_checkpoints SET through = 5 WHERE sequence = 0",
        &["audit_checkpoints 1: the checkpoint or one of its seals was changed"],
    ),
    (
        "UPDATE audit_checkpoints SET at = (SELECT at FROM audit_events WHERE number = 1) WHERE sequence = 2",
        &["audit_checkpoints 2: the checkpoint or one of its seals was changed"],
    ),
    (
        "DELETE FROM audit_seals WHERE checkpoint = 1; DELETE FROM audit_checkpoints WHERE sequence = 1",
        &["audit_checkpoints 1: checkpoints are missing from here to 1"],
    ),
    (
        "DELETE FROM audit_checkpoints WHERE sequence = 0",
        &["audit_checkpoints 0: checkpoints are missing from here to 0"],
    ),
    (
        "UPDATE memberships SET role = 'admin'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: role is admin, and the trail says viewer",
        ],
    ),
    (
        "UPDATE memberships SET user_id = 'eve'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is missing",
            "memberships user:eve at merchant:00000000-0000-0000-0000-000000000051: the row is there, and no event made it",
        ],
    ),
    (
        "UPDATE memberships SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &[
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000051: the row is missing",
            "memberships user:ann at merchant:00000000-0000-0000-0000-000000000052: the row is there, and no event made it",
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
            "memberships user:eve at merchant:00000000-0000-0000-0000-000000000051: the row is there, and no event made it",
        ],
    ),
    ("UPDATE api_clients SET role = 'admin'", &["api_clients client:till: role is admin, and the trail says operator"]),
    (
        "UPDATE api_clients SET revoked_at = created_at",
        &["api_clients client:till: revoked is true, and the trail says false"],
    ),
    (
        "UPDATE api_clients SET merchant_id = '00000000-0000-0000-0000-000000000052'",
        &[
            "api_clients client:till: party is merchant:00000000-0000-0000-0000-000000000052, and the trail says merchant:",
        ],
    ),
    ("DELETE FROM api_clients", &["api_clients client:till: the row is missing"]),
    (
        "UPDATE merchants SET reseller_id = NULL",
        &["merchants merchant:00000000-0000-0000-0000-000000000051: reseller is none, and the trail says"],
    ),
    (
        "INSERT INTO resellers (reseller_id, name, created_at) \
         SELECT '00000000-0000-0000-0000-000000000062', name, created_at FROM resellers",
        &["resellers reseller:00000000-0000-0000-0000-000000000062: the row is there, and no event made it"],
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

fn named(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn seal(storage: &Storage) -> SealAudit {
    SealAudit::new(storage.trail.clone(), Arc::new(SystemClock))
}

/// A reseller, two merchants, a member, a client and a location, in this order, and a device; the location's event is
/// the only one that is not sealed.
async fn populated(storage: &Storage) {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let by = Act::operator;
    let directory = ManageDirectory::new(storage.directory.clone(), clock.clone(), entropy.clone());
    directory.add_reseller(named("North"), Some(NORTH), by()).await.unwrap();
    directory.add_merchant(named("Shop"), Some(NORTH), Some(SHOP), by()).await.unwrap();
    directory.add_merchant(named("Other"), None, Some(OTHER), by()).await.unwrap();
    assert_eq!(seal(storage).run().await.unwrap(), 3);
    let members = ManageMembers::new(storage.members.clone(), clock, entropy);
    let party = Party::Merchant(SHOP);
    let ann = Member { user_id: UserId::parse("ann").unwrap(), party, role: Role::Viewer };
    members.add(ann, by()).await.unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    let id = ApiClientId::parse("till").unwrap();
    let told = |kind, subject| AuditEvent::of(kind, subject, by(), now).for_merchant(SHOP);
    let made = told(AuditKind::ClientAdded, Subject::Client(id.clone()))
        .with("party", Subject::from(party))
        .with("role", Role::Operator);
    let grant = GrantId(Uuid::from_u128(0x81));
    let till = ApiClient { id, grant, party, role: Role::Operator, created_at: now, revoked_at: None };
    let secret = SecretHash::of_phc("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$x".to_owned());
    storage.clients.add(&till, &secret, &made).await.unwrap();
    let reason = told(AuditKind::ClaimRefused, Subject::Merchant(SHOP)).with("reason", "used");
    storage.trail.tell(&reason).await.unwrap();
    assert_eq!(seal(storage).run().await.unwrap(), 3);
    let bar = Location { id: BAR, merchant_id: SHOP, name: named("Bar"), created_at: now };
    let made = told(AuditKind::LocationAdded, Subject::Location(BAR));
    storage.locations.add_location(Scope::Operator, &bar, None, &made).await.unwrap();
    let device = Device::provision(DeviceId::from_bits(1), SHOP, DeviceDetails::default(), by(), now);
    storage.fleet.create(Scope::Operator, &[device], None).await.unwrap();
}

async fn verified(storage: &Storage) -> (VerifiedTrail, Vec<String>) {
    let mut said = Vec::new();
    let devices = VerifyAudit::new(Arc::clone(&storage.fleet), Arc::clone(&storage.events)).page(None).await.unwrap();
    let verify = VerifyTrail::new(storage.trail.clone(), Arc::new(SystemClock));
    let found = verify.run(&mut |fault| said.push(fault.to_string())).await.unwrap();
    said.extend(devices.faults.into_iter().map(|(id, link)| format!("{id} {}: {}", link.sequence, link.fault)));
    (found, said)
}

async fn is_found(storage: &Storage, statement: &str, expected: &[&str]) {
    let (_, said) = verified(storage).await;
    assert_eq!(said.len(), expected.len(), "{statement}: {said:?}");
    for (said, begins) in said.iter().zip(expected) {
        assert!(said.starts_with(begins), "{statement}: {said:?}");
    }
    // A later seal hides nothing.
    if !statement.contains("audit_checkpoints") {
        seal(storage).run().await.unwrap();
        for begins in expected {
            let (_, said) = verified(storage).await;
            assert!(said.iter().any(|said| said.starts_with(begins)), "{statement}, sealed: {said:?}");
        }
    }
}

async fn is_fine(storage: &Storage) {
    let (found, said) = verified(storage).await;
    assert_eq!(said, Vec::<String>::new());
    assert_eq!((found.events, found.unsealed, found.undigested, found.removed, found.rows), (7, 1, 0, 0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_in_postgres_are_found() {
    for (statement, expected) in EDITS {
        let (storage, database) = stores::postgres().await;
        populated(&storage).await;
        is_fine(&storage).await;
        // As its owner may, the hand goes around the foreign keys.
        let around = format!("SET session_replication_role = replica; {statement}");
        database.client().await.batch_execute(&around).await.unwrap();
        is_found(&storage, statement, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_in_sqlite_are_found() {
    for (statement, expected) in EDITS {
        let (storage, folder) = stores::sqlite().await;
        populated(&storage).await;
        is_fine(&storage).await;
        let mut connection = SqliteConnection::establish(folder.path().join("pos.db").to_str().unwrap()).unwrap();
        connection.batch_execute(&format!("PRAGMA busy_timeout = 5000; {statement}")).unwrap();
        is_found(&storage, statement, expected).await;
    }
}

/// A transaction that takes its number early and commits late is sealed afterwards, and is no fault.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_committed_late_is_sealed_later() {
    let (storage, database) = stores::postgres().await;
    let mut late = database.client().await;
    let transaction = late.transaction().await.unwrap();
    let taken = transaction.query_one("SELECT nextval(pg_get_serial_sequence('audit_events', 'number'))", &[]);
    let number: i64 = taken.await.unwrap().get(0);
    populated(&storage).await;
    assert_eq!(seal(&storage).run().await.unwrap(), 1);
    let copy = "INSERT INTO audit_events (number, at, actor, merchant_id, kind, subject, detail, hash) OVERRIDING SYSTEM \
        VALUE SELECT $1, at, actor, merchant_id, kind, subject, detail, hash FROM audit_events WHERE kind = 'claim_refused'";
    transaction.execute(copy, &[&number]).await.unwrap();
    transaction.commit().await.unwrap();
    let (found, said) = verified(&storage).await;
    assert_eq!((found.unsealed, said), (1, Vec::new()));
    assert_eq!(seal(&storage).run().await.unwrap(), 1);
    let (found, said) = verified(&storage).await;
    assert_eq!((found.unsealed, said), (0, Vec::new()));
}
