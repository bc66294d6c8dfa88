//! Expiry without a purge: expired rows are rejected before and after the purge, and rows in use again stay.

use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_application::Rules;
use pos_application::audit::Retention;
use pos_application::test_support::TestApp;
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::device::{Device, DeviceDetails};
use pos_domain::fleet::{ImportId, ImportMode};
use pos_domain::shared::{AuditContext, DeviceId, Fingerprint, GrantId, IdempotencyKey, Party, Role, Scope, UserId};
use pos_domain::tenancy::ClientApp;
use pos_domain::tenancy::{Member, Session, SessionKey, SessionToken, Slug, TokenKey};
use pos_port_storage::Storage;
use pos_port_storage::audit::ExpiredKind;
use pos_port_storage::fleet::UploadSummary;
use pos_port_storage::fleet::{ImportRef, NewImport, StagedRow};
use pos_port_storage::shared::IdempotencyRecord;
use pos_port_storage::tenancy::{Logout, StartError};
use pos_tests::server::{MERCHANT, Options, START, TestServer};
use pos_tests::stores::TestStore;
use reqwest::Method;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{expired_counts, run_purge};

const OWN: Party = Party::Merchant(MERCHANT);

fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

fn event(kind: AuditKind) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(ann()), AuditContext::operator(), START)
}

fn session(number: u8, grant: GrantId, from: OffsetDateTime) -> Session {
    let slug = |text| Slug::parse(text).unwrap();
    Session {
        key: SessionKey([number; 32]),
        grant,
        member: Member { user_id: ann(), party: OWN, role: Role::Admin },
        reseller: None,
        client_app: ClientApp { application: slug("merchant-portal"), channel: slug("web") },
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

fn idempotency_record(at: OffsetDateTime) -> IdempotencyRecord {
    IdempotencyRecord {
        party: OWN,
        key: IdempotencyKey::parse("key").unwrap(),
        fingerprint: Fingerprint::of(&[]),
        answer: at.to_string(),
        at,
        expires_at: at + Duration::DAY,
    }
}

async fn create(storage: &Storage, number: u32, at: OffsetDateTime) {
    let new = Device::provision(
        DeviceId::from_bits(number),
        MERCHANT,
        DeviceDetails::default(),
        AuditContext::operator(),
        at,
    );
    pos_tests::users::add_merchant(storage, MERCHANT).await;
    storage.fleet.create(Scope::Operator, &[new], Some(&idempotency_record(at))).await.unwrap();
}

/// An uploaded import without rows whose idempotency key expires after a day.
async fn import(storage: &Storage, number: u128, at: OffsetDateTime) -> ImportRef {
    let import = ImportRef { id: ImportId(uuid::Uuid::from_u128(number)), owner: Scope::Operator };
    let key = Some(IdempotencyKey::parse("file").unwrap());
    let expires_at = at + Duration::DAY;
    let new = NewImport {
        import,
        mode: ImportMode::BestEffort,
        audit_context: AuditContext::operator(),
        key,
        created_at: at,
        expires_at,
    };
    storage.staging.open(&new).await.unwrap();
    storage.staging.stage(&import, &[] as &[StagedRow], expires_at).await.unwrap();
    storage
        .staging
        .finalize_upload(&import, &UploadSummary { fingerprint: Fingerprint([1; 32]), rows: 0, at, expires_at })
        .await
        .unwrap();
    import
}

async fn add_member(server: &TestServer) -> GrantId {
    server.app().add_merchant(MERCHANT, "Shop", None).await;
    server.app().add_member("ann", OWN, Role::Admin).await;
    server.storage.members.find(OWN, &ann()).await.unwrap().unwrap().grant
}

async fn assert_expiry_without_purge(store: TestStore) {
    let settings = vec![
        ("POS__RETENTION__EVERY_SECS", "0".to_owned()),
        ("POS__CLAIM__MAX_FAILURES", "2".to_owned()),
        ("POS__CLAIM__FAILURE_WINDOW_SECS", "3600".to_owned()),
    ];
    let server = TestServer::start(store.opened(), Options { settings, ..Options::default() });
    let storage = &server.storage;
    let grant = add_member(&server).await;
    let id = server.device().await;
    let (superseded, code) = (server.code(&id).await, server.code(&id).await);
    storage.sessions.start(&session(1, grant, START), &event(AuditKind::SessionStarted)).await.unwrap();
    let logout = Logout::Session { session: SessionKey([2; 32]), issued_until: START };
    storage.sessions.log_out(&logout, START + Duration::HOUR, &event(AuditKind::SessionsLoggedOut)).await.unwrap();
    storage.sessions.start(&session(4, grant, START), &event(AuditKind::SessionStarted)).await.unwrap();
    storage.sessions.end(&token(4, START), START + Duration::HOUR, &event(AuditKind::SessionEnded)).await.unwrap();
    create(storage, 1, START).await;
    let first = import(storage, 1, START).await;
    let limit = pos_domain::shared::AttemptLimit { max_failures: 1, window: Duration::HOUR };
    storage.client_failures.record("till", &limit, START).await.unwrap();
    for _ in 0..2 {
        let _ = server.claim("ann", &json!({"pairing_code": "ZZZZZZ"})).await.failure(400, "4004");
    }
    let _ = server.claim("ann", &json!({ "pairing_code": code })).await.failure(429, "4290");

    server.clock.advance(Duration::days(800));
    let now = START + Duration::days(800);
    let before = expired_counts(storage, now).await;
    // At least one expired row of every kind is stored.
    assert!(before.iter().all(|(_, rows)| *rows > 0), "{before:?}");
    for purged in [false, true] {
        if purged {
            let retention = Retention {
                past_codes: Duration::days(900),
                failures: Duration::days(7),
                sessions: Duration::DAY,
                events: Some(Duration::days(395)),
            };
            let rules = Rules { retention, purge_batch: 3, ..Rules::for_tests() };
            let app = TestApp::new(storage.clone(), server.clock.clone(), Arc::new(SystemEntropy), &rules);
            assert!(run_purge(&app.audit.purge).await > 5);
        }
        for expired_code in [&code, &superseded] {
            let message = server.claim("bob", &json!({ "pairing_code": expired_code })).await.failure(400, "4220");
            assert!(message.contains("expired"), "{purged}: {message}");
        }
        // The claims above filled the failure windows again.
        server.clock.advance(Duration::hours(2));
        let poll = server.terminal(Method::GET, "/pos/status", &id).await.json();
        assert_eq!(poll["pairing_code_status"], "expired", "{purged}: {poll}");
        assert_eq!(storage.sessions.find(&token(1, START), now).await.unwrap(), None);
        assert_eq!(storage.idempotency.find(OWN, &idempotency_record(now).key, now).await.unwrap(), None);
        let file = IdempotencyKey::parse("file").unwrap();
        assert!(storage.staging.find_by_key(Scope::Operator, &file, now).await.unwrap().is_none());
        assert!(!storage.staging.extend(&first, now, now + Duration::DAY).await.unwrap());
        let window = storage.client_failures.record("till", &limit, now + Duration::hours(2 * i64::from(purged))).await;
        assert_eq!(window.unwrap().failures, 1, "the earlier window has passed");
    }
    // Keys, imports and sessions that are in use again stay valid.
    create(storage, 2, now).await;
    assert_eq!(
        storage.idempotency.find(OWN, &idempotency_record(now).key, now).await.unwrap().unwrap().answer,
        now.to_string()
    );
    import(storage, 2, now).await;
    storage.sessions.start(&session(1, grant, now), &event(AuditKind::SessionStarted)).await.unwrap();
    assert!(storage.sessions.find(&token(1, now), now).await.unwrap().is_some());
    let again = Logout::Session { session: SessionKey([3; 32]), issued_until: now };
    storage.sessions.log_out(&again, now + Duration::HOUR, &event(AuditKind::SessionsLoggedOut)).await.unwrap();
    super::purge_all(storage, ExpiredKind::Logouts, now).await;
    let refused_start = storage.sessions.start(&session(3, grant, now), &event(AuditKind::SessionStarted)).await;
    assert!(matches!(refused_start, Err(StartError::LoggedOut)), "{refused_start:?}");
    let fresh = server.code(&id).await;
    assert_eq!(server.claim("ann", &json!({ "pairing_code": fresh })).await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_on_postgres_does_not_need_the_purge() {
    assert_expiry_without_purge(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_on_sqlite_does_not_need_the_purge() {
    assert_expiry_without_purge(TestStore::sqlite().await).await;
}
