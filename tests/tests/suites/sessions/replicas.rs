//! Two servers on one PostgreSQL: what ends a session on one holds on the other from the next request on.

use pos_domain::{Act, AuditEvent, AuditKind, Party, Subject, UserId};
use pos_tests::server::{MERCHANT, START};
use pos_tests::stores::TestStore;
use serde_json::json;

use super::world::{World, acts, end, initiate, log_out};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_on_one_server_holds_on_the_other_from_the_next_request_on() {
    an_end_holds_everywhere(TestStore::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_so_it_does_through_pgbouncer() {
    an_end_holds_everywhere(TestStore::pgbouncer().await).await;
}

async fn an_end_holds_everywhere(store: TestStore) {
    let world = World::on(store).await;
    let (one, other) = (world.server(), world.replica().await);
    for _ in 0..10 {
        let tokens = world.log_in("ann").await;
        assert_eq!(initiate(&one, &tokens.access).await.status, 200);
        assert!(acts(&other, &tokens.access).await, "initiated on one, known on the other");
        end(&one, &tokens.access).await;
        assert!(!acts(&other, &tokens.access).await);

        assert_eq!(initiate(&other, &tokens.access).await.failure(401, "4001"), "Session was ended");
        world.advance(1);
        let tokens = world.log_in("ann").await;
        initiate(&other, &tokens.access).await;
        assert!(acts(&one, &tokens.access).await);
        log_out(&other, &world.logout_token(&json!({"sid": tokens.session_id}))).await;
        assert!(!acts(&one, &tokens.access).await);
    }
    let tokens = world.log_in("ann").await;
    initiate(&one, &tokens.access).await;
    let ann = UserId::parse("ann").unwrap();
    let told = AuditEvent::of(AuditKind::MemberRemoved, Subject::User(ann.clone()), Act::operator(), START);
    assert!(world.storage.members.remove(Party::Merchant(MERCHANT), &ann, &told).await.unwrap());
    assert!(!acts(&other, &tokens.access).await && !acts(&one, &tokens.access).await);
    assert_eq!(initiate(&one, &tokens.access).await.failure(401, "4001"), "Session was ended");
    assert_eq!(initiate(&other, &world.log_in("ann").await.access).await.status, 403, "another token is nobody's here");
    one.stop().await;
    other.stop().await;
}
