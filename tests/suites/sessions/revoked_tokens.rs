//! Revoked tokens: the token of an ended session is rejected on every replica, after a restart, and beside a later log-in
//! with the same session of the provider.

use futures_util::future::join_all;
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{ApiClientId, AuditContext, Party, Role, UserId};
use pos_tests::server::{MERCHANT, START, TestServer};
use serde_json::{Value, json};

use super::fixture::{
    SECRET, SessionFixture, client_session, end, has_session, initiate, log_out, on_both_engines, revoke, rotate,
};

const SESSION_ENDED: &str = "Session was ended";

/// A valid token of the session "s" that was issued `ago` seconds ago.
fn of_session(fixture: &SessionFixture, token: &str, ago: i64, more: &Value) -> String {
    let issued_at = fixture.unix_seconds() - ago;
    let mut claims = json!({"sid": "s", "jti": token, "iat": issued_at, "exp": issued_at + 3_600});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fixture.mint(&claims)
}

async fn assert_revoked(servers: [&TestServer; 2], token: &str, message: &str) {
    for server in servers {
        assert!(!has_session(server, token).await);
        let refused = initiate(server, token).await;
        assert_eq!(refused.failure(401, "4001"), message);
        assert!(refused.header("www-authenticate").unwrap().contains(message));
        assert!(!has_session(server, token).await);
    }
}

async fn the_token_of_an_ended_session_cannot_initiate_another(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let earlier = of_session(&fixture, "0", 20, &json!({}));
    let token = of_session(&fixture, "1", 10, &json!({}));
    assert_eq!(initiate(&one, &token).await.status, 200);
    assert!(
        has_session(&other, &token).await && has_session(&other, &earlier).await,
        "both tokens belong to the session"
    );
    assert_eq!(end(&other, &token).await.status, 200);
    assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    assert_revoked([&one, &other], &earlier, SESSION_ENDED).await;
    one.stop().await;
    let one = fixture.replica().await;
    assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    // Single sign-on: a later log-in with the same session of the provider, possibly within the same second.
    let later = of_session(&fixture, "2", 10, &json!({}));
    assert_eq!(initiate(&one, &later).await.status, 200);
    assert!(has_session(&other, &later).await);
    assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    assert_eq!(end(&one, &token).await.status, 200);
    assert!(has_session(&other, &later).await, "the revoked token does not end the later log-in");
    one.stop().await;
    other.stop().await;
}

async fn a_later_log_in_starts_a_session_after_logout(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let token = of_session(&fixture, "1", 10, &json!({}));
    initiate(&one, &token).await;
    assert_eq!(log_out(&other, &fixture.logout_token(&json!({"sid": "s"}))).await.status, 200);
    assert_revoked([&one, &other], &token, "Session was logged out").await;
    assert_revoked([&one, &other], &of_session(&fixture, "2", 0, &json!({})), "Session was logged out").await;
    fixture.advance(1);
    let later = of_session(&fixture, "3", 0, &json!({}));
    assert_eq!(initiate(&one, &later).await.status, 200);
    assert!(has_session(&other, &later).await);
    assert_revoked([&one, &other], &token, "Session was logged out").await;
    assert_eq!(
        log_out(&other, &fixture.logout_token(&json!({"sid": "s", "iat": fixture.unix_seconds() - 1}))).await.status,
        200
    );
    assert!(has_session(&one, &later).await, "the notice is older than the log-in");
    assert_eq!(log_out(&other, &fixture.logout_token(&json!({"sid": "s"}))).await.status, 200);
    assert_revoked([&one, &other], &later, "Session was logged out").await;
    one.stop().await;
    other.stop().await;
}

async fn the_token_of_a_removed_member_stays_revoked(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let token = of_session(&fixture, "1", 10, &json!({}));
    initiate(&one, &token).await;
    let ann = UserId::parse("ann").unwrap();
    let audit_event =
        AuditEvent::of(AuditKind::MemberRemoved, Subject::User(ann.clone()), AuditContext::operator(), START);
    assert!(fixture.app.storage.members.remove(Party::Merchant(MERCHANT), &ann, &audit_event).await.unwrap());
    assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    fixture.app.add_member("ann", Party::Merchant(MERCHANT), Role::Admin).await;
    assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    let later = of_session(&fixture, "2", 0, &json!({}));
    assert_eq!(initiate(&other, &later).await.status, 200);
    assert!(has_session(&one, &later).await && !has_session(&one, &token).await);
    one.stop().await;
    other.stop().await;
}

async fn a_client_token_is_revoked_with_its_secret(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    let id = ApiClientId::parse("till").unwrap();
    for revoked in [false, true] {
        let answer = client_session(&one, "till", SECRET).await.json();
        let token = answer["access_token"].as_str().unwrap();
        assert!(has_session(&other, token).await);
        // The token is rejected even if the service account is a member.
        fixture.app.add_member(answer["user_id"].as_str().unwrap(), Party::Merchant(MERCHANT), Role::Admin).await;
        if revoked {
            assert!(revoke(&fixture.app.storage, &id).await);
        } else {
            let (_, hash) = fixture.app.storage.clients.find(&id).await.unwrap().unwrap();
            assert!(rotate(&fixture.app.storage, &id, &hash).await);
        }
        assert_revoked([&one, &other], token, SESSION_ENDED).await;
    }
    one.stop().await;
    other.stop().await;
}

async fn the_end_wins_over_concurrent_initiates(fixture: SessionFixture) {
    let (one, other) = (fixture.server(), fixture.replica().await);
    for round in 0..6 {
        let token = fixture.mint(&json!({"sid": format!("s-{round}"), "jti": format!("t-{round}")}));
        assert_eq!(initiate(&one, &token).await.status, 200);
        let calls = (0..32).map(|caller| {
            let (server, token) = (if caller % 4 < 2 { &one } else { &other }, &token);
            async move { if caller % 2 == 0 { initiate(server, token).await } else { end(server, token).await } }
        });
        for answer in join_all(calls).await {
            assert!(matches!(answer.status.as_u16(), 200 | 401), "{answer:?}");
        }
        assert_revoked([&one, &other], &token, SESSION_ENDED).await;
    }
    one.stop().await;
    other.stop().await;
}

on_both_engines!(
    the_token_of_an_ended_session_cannot_initiate_another,
    a_later_log_in_starts_a_session_after_logout,
    the_token_of_a_removed_member_stays_revoked,
    a_client_token_is_revoked_with_its_secret,
    the_end_wins_over_concurrent_initiates,
);
