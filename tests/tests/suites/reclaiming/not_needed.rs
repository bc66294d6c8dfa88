//! No round is ever made: what is over is refused all the same, though its row is there. Then one is made, and callers
//! notice nothing.

use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_application::{ManageDirectory, ManageMembers, Reclaim, Retention};
use pos_domain::{
    Act, AuditEvent, AuditKind, Device, DeviceDetails, DeviceId, Fingerprint, GrantId, IdempotencyKey, ImportId,
    ImportMode, Member, Name, Party, Place, Role, Scope, Session, SessionKey, SessionToken, Slug, Subject, TokenKey,
    UserId,
};
use pos_port_storage::{ImportRef, Logout, NewImport, Once, Reclaimable, Seal, StagedRow, StartError, Storage};
use pos_tests::server::{MERCHANT, Options, START, TestServer};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{over, round};

const OWN: Party = Party::Merchant(MERCHANT);

fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

fn told(kind: AuditKind) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(ann()), Act::operator(), START)
}

fn session(number: u8, grant: GrantId, from: OffsetDateTime) -> Session {
    let slug = |text| Slug::parse(text).unwrap();
    Session {
        key: SessionKey([number; 32]),
        grant,
        member: Member { user_id: ann(), party: OWN, role: Role::Admin },
        reseller: None,
        place: Place { application: slug("merchant-portal"), channel: slug("web") },
        client: None,
        token: Some(TokenKey([number; 32])),
        token_issued_at: from,
        started_at: from,
        ends_at: from + Duration::HOUR,
    }
}

fn token(number: u8, issued_at: OffsetDateTime) -> SessionToken {
    SessionToken { session: SessionKey([number; 32]), token: TokenKey([number; 32]), issued_at }
}

fn once(at: OffsetDateTime) -> Once {
    Once {
        party: OWN,
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: at.to_string(),
        at,
        keep_until: at + Duration::DAY,
    }
}

async fn create(storage: &Storage, number: u32, at: OffsetDateTime) {
    let new = Device::provision(DeviceId::from_bits(number), MERCHANT, DeviceDetails::default(), Act::operator(), at);
    pos_tests::people::add_merchant(storage, MERCHANT).await;
    storage.fleet.create(Scope::Operator, &[new], Some(&once(at))).await.unwrap();
}

/// A sealed import without rows, kept under a key for a day.
async fn import(storage: &Storage, number: u128, at: OffsetDateTime) -> ImportRef {
    let import = ImportRef { id: ImportId(uuid::Uuid::from_u128(number)), owner: Scope::Operator };
    let key = Some(IdempotencyKey::parse("file").unwrap());
    let keep_until = at + Duration::DAY;
    let new = NewImport { import, mode: ImportMode::BestEffort, act: Act::operator(), key, created_at: at, keep_until };
    storage.staging.open(&new).await.unwrap();
    storage.staging.stage(&import, &[] as &[StagedRow], keep_until).await.unwrap();
    storage.staging.seal(&import, &Seal { fingerprint: Fingerprint([1; 32]), rows: 0, at, keep_until }).await.unwrap();
    import
}

async fn people(server: &TestServer) -> GrantId {
    let storage = &server.storage;
    let entropy = Arc::new(SystemEntropy);
    let directory = ManageDirectory::new(storage.directory.clone(), server.clock.clone(), entropy.clone());
    directory.add_merchant(Name::parse("Shop").unwrap(), None, Some(MERCHANT), Act::operator()).await.unwrap();
    let members = ManageMembers::new(storage.members.clone(), server.clock.clone(), entropy);
    members.add(Member { user_id: ann(), party: OWN, role: Role::Admin }, Act::operator()).await.unwrap();
    storage.members.find(OWN, &ann()).await.unwrap().unwrap().grant
}

async fn nothing_depends_on_it(store: TestStore) {
    let settings = vec![
        ("POS__RECLAIM__EVERY_SECS", "0".to_owned()),
        ("POS__CLAIM__MAX_FAILURES", "2".to_owned()),
        ("POS__CLAIM__FAILURE_WINDOW_SECS", "3600".to_owned()),
    ];
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let storage = &server.storage;
    let grant = people(&server).await;
    let id = server.device().await;
    let (retired, code) = (server.code(&id).await, server.code(&id).await);
    storage.sessions.start(&session(1, grant, START), &told(AuditKind::SessionStarted)).await.unwrap();
    let logout = Logout::Session { session: SessionKey([2; 32]), issued_until: START };
    storage.sessions.log_out(&logout, START + Duration::HOUR, &told(AuditKind::SessionsLoggedOut)).await.unwrap();
    storage.sessions.start(&session(4, grant, START), &told(AuditKind::SessionStarted)).await.unwrap();
    storage.sessions.end(&token(4, START), START + Duration::HOUR, &told(AuditKind::SessionEnded)).await.unwrap();
    create(storage, 1, START).await;
    let first = import(storage, 1, START).await;
    let limit = pos_domain::ClaimLimit { max_failures: 1, window: Duration::HOUR };
    storage.client_failures.record("till", &limit, START).await.unwrap();
    for _ in 0..2 {
        let _ = server.claim("ann", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
    }
    let _ = server.claim("ann", &json!({ "pairing_code": code })).await.failure(429, "4290");

    server.clock.advance(Duration::days(800));
    let now = START + Duration::days(800);
    let before = over(storage, now).await;
    // Kept by now though it is over: one row at least of every sort but the events of devices, the last two of which
    // belong to codes.
    assert!(before.iter().all(|(_, rows)| *rows > 0), "{before:?}");
    for swept in [false, true] {
        if swept {
            let retention = Retention {
                ended_codes: Duration::days(900),
                failures: Duration::days(7),
                sessions: Duration::DAY,
                events: Some(Duration::days(395)),
            };
            let reclaim = Reclaim::new(storage.reclaiming.clone(), server.clock.clone(), retention, 3);
            assert!(round(&reclaim).await > 5);
        }
        for over in [&code, &retired] {
            let message = server.claim("bob", &json!({ "pairing_code": over })).await.failure(400, "4220");
            assert!(message.contains("expired"), "{swept}: {message}");
        }
        // The windows are full again by now, and pass again.
        server.clock.advance(Duration::hours(2));
        let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
        assert_eq!(poll["pairing_code_status"], "expired", "{swept}: {poll}");
        assert_eq!(storage.sessions.find(&token(1, START), now).await.unwrap(), None);
        assert_eq!(storage.answers.find(OWN, &once(now).key, now).await.unwrap(), None);
        let file = IdempotencyKey::parse("file").unwrap();
        assert!(storage.staging.find_by_key(Scope::Operator, &file, now).await.unwrap().is_none());
        assert!(!storage.staging.keep(&first, now, now + Duration::DAY).await.unwrap());
        let window = storage.client_failures.record("till", &limit, now + Duration::hours(2 * i64::from(swept))).await;
        assert_eq!(window.unwrap().failures, 1, "the window before has passed");
    }
    // What was taken into use again is there, and holds.
    create(storage, 2, now).await;
    assert_eq!(storage.answers.find(OWN, &once(now).key, now).await.unwrap().unwrap().answer, now.to_string());
    import(storage, 2, now).await;
    storage.sessions.start(&session(1, grant, now), &told(AuditKind::SessionStarted)).await.unwrap();
    assert!(storage.sessions.find(&token(1, now), now).await.unwrap().is_some());
    let again = Logout::Session { session: SessionKey([3; 32]), issued_until: now };
    storage.sessions.log_out(&again, now + Duration::HOUR, &told(AuditKind::SessionsLoggedOut)).await.unwrap();
    super::sweep(storage, Reclaimable::Logouts, now).await;
    let out = storage.sessions.start(&session(3, grant, now), &told(AuditKind::SessionStarted)).await;
    assert!(matches!(out, Err(StartError::LoggedOut)), "{out:?}");
    let fresh = server.code(&id).await;
    assert_eq!(server.claim("ann", &json!({ "pairing_code": fresh })).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    nothing_depends_on_it(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    nothing_depends_on_it(TestStore::sqlite().await).await;
}
