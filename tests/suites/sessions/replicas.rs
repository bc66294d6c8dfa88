//! Sessions across two replicas: an end on one applies to the other's next request.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{AuditContext, Party, UserId};
use pos_tests::server::{MERCHANT, START};
use pos_tests::stores::TestStore;
use serde_json::json;

use super::fixture::{SessionFixture, end, has_session, initiate, log_out};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_applies_to_the_next_request_of_another_replica() {
    assert_ends_apply_to_both_replicas(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_applies_to_the_next_request_through_pgbouncer() {
    assert_ends_apply_to_both_replicas(TestStore::pgbouncer().await).await;
}

async fn assert_ends_apply_to_both_replicas(store: TestStore) {
    let fixture = SessionFixture::new(store).await;
    let (one, other) = (fixture.server(), fixture.replica().await);
    for _ in 0..10 {
        let tokens = fixture.log_in("ann").await;
        assert_eq!(initiate(&one, &tokens.access).await.status, 200);
        assert!(has_session(&other, &tokens.access).await, "a session started on one is valid on the other");
        end(&one, &tokens.access).await;
        assert!(!has_session(&other, &tokens.access).await);

        assert_eq!(initiate(&other, &tokens.access).await.failure(401, "4001"), "Session was ended");
        fixture.advance(1);
        let tokens = fixture.log_in("ann").await;
        initiate(&other, &tokens.access).await;
        assert!(has_session(&one, &tokens.access).await);
        log_out(&other, &fixture.logout_token(&json!({"sid": tokens.session_id}))).await;
        assert!(!has_session(&one, &tokens.access).await);
    }
    let tokens = fixture.log_in("ann").await;
    initiate(&one, &tokens.access).await;
    let ann = UserId::parse("ann").unwrap();
    let audit_event =
        AuditEvent::of(AuditKind::MemberRemoved, Subject::User(ann.clone()), AuditContext::operator(), START);
    assert!(fixture.app.storage.members.remove(Party::Merchant(MERCHANT), &ann, &audit_event).await.unwrap());
    assert!(!has_session(&other, &tokens.access).await && !has_session(&one, &tokens.access).await);
    assert_eq!(initiate(&one, &tokens.access).await.failure(401, "4001"), "Session was ended");
    assert_eq!(
        initiate(&other, &fixture.log_in("ann").await.access).await.status,
        403,
        "another token of a removed member"
    );
    one.stop().await;
    other.stop().await;
}
