//! Concurrent calls on sessions, clients and members.

use std::sync::Arc;

use futures_util::future::join_all;
use pos_domain::shared::{ApiClientId, AuditContext, Party, Role, UserId};
use pos_domain::tenancy::Member;
use pos_tests::postgres::TestDatabase;
use pos_tests::server::MERCHANT;
use pos_tests::stores::TestStore;
use tokio::task::JoinSet;

use super::fixture::{SECRET, SessionFixture, client_session, has_session, initiate, on_both_engines, revoke, rotate};

async fn concurrent_initiates_start_one_session(fixture: SessionFixture) {
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    let idempotency = join_all((0..64).map(|_| initiate(&server, &token))).await;
    let first = idempotency[0].json();
    for answer in &idempotency {
        assert_eq!((answer.status.as_u16(), answer.json()), (200, first.clone()));
    }
    assert!(has_session(&server, &token).await);
    super::fixture::end(&server, &token).await;
    assert!(!has_session(&server, &token).await, "the calls started one session");
    server.stop().await;
}

async fn no_client_session_outlives_its_revocation(fixture: SessionFixture) {
    let server = Arc::new(fixture.server());
    for round in 0..6 {
        let name = "till";
        let id = ApiClientId::parse(name).unwrap();
        let (stored, hash) = fixture.app.storage.clients.find(&id).await.unwrap().unwrap();
        let authenticating = join_all((0..8).map(|_| client_session(&server, name, SECRET)));
        let revoking = async {
            if round < 5 {
                rotate(&fixture.app.storage, &stored.id, &hash).await
            } else {
                revoke(&fixture.app.storage, &stored.id).await
            }
        };
        let (idempotency, ended) = tokio::join!(authenticating, revoking);
        assert!(ended);
        let now = fixture.app.storage.clients.find(&id).await.unwrap().unwrap().0;
        for answer in idempotency {
            match answer.status.as_u16() {
                200 => {
                    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
                    let has_session_left = has_session(&server, &token).await;
                    assert!(!has_session_left || now.revoked_at.is_none(), "the session outlived the revocation");
                }
                401 => {}
                _ => panic!("{answer:?}"),
            }
        }
    }
    assert_eq!(client_session(&server, "till", SECRET).await.status, 401);
}

async fn concurrent_role_changes_are_audited_once(fixture: SessionFixture) {
    let app = Arc::new(fixture.app);
    let before = app.audit_events().await.len();
    for (role, role_before) in [(Role::Viewer, None), (Role::Admin, Some("viewer"))] {
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let app = Arc::clone(&app);
            let user_id = UserId::parse("newcomer").unwrap();
            let member = Member { user_id, party: Party::Merchant(MERCHANT), role };
            calls.spawn(async move {
                let replaced = app.tenancy.members.add(member, AuditContext::operator()).await.unwrap();
                replaced.map(|one| one.member.role)
            });
        }
        let replaced = calls.join_all().await;
        assert_eq!(
            replaced.iter().filter(|before| **before != Some(role)).count(),
            1,
            "one call changed the role: {replaced:?}"
        );
        let event = app.audit_events().await.pop().unwrap();
        assert_eq!(event.detail["role"], role.as_str());
        assert_eq!(event.detail.get("role_before").map(String::as_str), role_before);
    }
    assert_eq!(app.audit_events().await.len(), before + 2, "each change is audited once");
}

on_both_engines!(
    concurrent_initiates_start_one_session,
    no_client_session_outlives_its_revocation,
    concurrent_role_changes_are_audited_once,
);

/// One session is one row. The purge job deletes expired rows; a change of the grant deletes all of its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_initiates_leave_one_row() {
    let database = TestDatabase::migrated().await;
    let fixture = SessionFixture::new(TestStore::on_database(database).await).await;
    let client = fixture.store.client().await;
    let rows = async || -> i64 { client.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0) };
    let server = fixture.server();
    let token = fixture.log_in("ann").await.access;
    join_all((0..64).map(|_| initiate(&server, &token))).await;
    assert_eq!(rows().await, 1);
    let key: String = client.query_one("SELECT session_key FROM sessions", &[]).await.unwrap().get(0);
    assert!(key.len() == 64 && !token.contains(&key));
    initiate(&server, &fixture.log_in("ann").await.access).await;
    assert_eq!(rows().await, 2);
    fixture.advance(36_001);
    initiate(&server, &fixture.log_in("ann").await.access).await;
    assert_eq!(rows().await, 3, "starting a session deletes no expired rows");
    fixture.app.add_member("ann", Party::Merchant(MERCHANT), Role::Viewer).await;
    assert_eq!(rows().await, 0);
    server.stop().await;
}
