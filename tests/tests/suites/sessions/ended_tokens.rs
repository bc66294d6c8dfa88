//! A token whose session was ended gets in no more, in whichever way it was ended: on another replica, after a restart, and
//! beside a later log-in that the provider gives the same session.

use futures_util::future::join_all;
use pos_domain::{Act, ApiClientId, AuditEvent, AuditKind, Party, Role, Subject, UserId};
use pos_tests::server::{MERCHANT, START, TestServer};
use serde_json::{Value, json};

use super::world::{SECRET, World, acts, client_session, end, initiate, log_out, on_both_engines, revoke, rotate};

const ENDED: &str = "Session was ended";

/// A token of the session "s" that was issued so many seconds ago, and still holds for a while.
fn of_session(world: &World, token: &str, ago: i64, more: &Value) -> String {
    let issued_at = world.seconds() - ago;
    let mut claims = json!({"sid": "s", "jti": token, "iat": issued_at, "exp": issued_at + 3_600});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.mint(&claims)
}

async fn is_out(servers: [&TestServer; 2], token: &str, message: &str) {
    for server in servers {
        assert!(!acts(server, token).await);
        let refused = initiate(server, token).await;
        assert_eq!(refused.failure(401, "4001"), message);
        assert!(refused.header("www-authenticate").unwrap().contains(message));
        assert!(!acts(server, token).await);
    }
}

async fn an_ended_session_is_not_initiated_again(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let earlier = of_session(&world, "0", 20, &json!({}));
    let token = of_session(&world, "1", 10, &json!({}));
    assert_eq!(initiate(&one, &token).await.status, 200);
    assert!(acts(&other, &token).await && acts(&other, &earlier).await, "both are of the session");
    assert_eq!(end(&other, &token).await.status, 200);
    is_out([&one, &other], &token, ENDED).await;
    is_out([&one, &other], &earlier, ENDED).await;
    one.stop().await;
    let one = world.replica().await;
    is_out([&one, &other], &token, ENDED).await;
    // Single sign-on: the same session of the provider, perhaps within the same second.
    let later = of_session(&world, "2", 10, &json!({}));
    assert_eq!(initiate(&one, &later).await.status, 200);
    assert!(acts(&other, &later).await);
    is_out([&one, &other], &token, ENDED).await;
    assert_eq!(end(&one, &token).await.status, 200);
    assert!(acts(&other, &later).await, "the ended token ends nothing of the later log-in");
    one.stop().await;
    other.stop().await;
}

async fn a_logged_out_session_is_begun_by_a_later_log_in(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let token = of_session(&world, "1", 10, &json!({}));
    initiate(&one, &token).await;
    assert_eq!(log_out(&other, &world.logout_token(&json!({"sid": "s"}))).await.status, 200);
    is_out([&one, &other], &token, "Session was logged out").await;
    is_out([&one, &other], &of_session(&world, "2", 0, &json!({})), "Session was logged out").await;
    world.advance(1);
    let later = of_session(&world, "3", 0, &json!({}));
    assert_eq!(initiate(&one, &later).await.status, 200);
    assert!(acts(&other, &later).await);
    is_out([&one, &other], &token, "Session was logged out").await;
    assert_eq!(
        log_out(&other, &world.logout_token(&json!({"sid": "s", "iat": world.seconds() - 1}))).await.status,
        200
    );
    assert!(acts(&one, &later).await, "a notice from before the log-in");
    assert_eq!(log_out(&other, &world.logout_token(&json!({"sid": "s"}))).await.status, 200);
    is_out([&one, &other], &later, "Session was logged out").await;
    one.stop().await;
    other.stop().await;
}

async fn a_session_that_ends_with_its_membership_is_not_initiated_again(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let token = of_session(&world, "1", 10, &json!({}));
    initiate(&one, &token).await;
    let ann = UserId::parse("ann").unwrap();
    let told = AuditEvent::of(AuditKind::MemberRemoved, Subject::User(ann.clone()), Act::operator(), START);
    assert!(world.storage.members.remove(Party::Merchant(MERCHANT), &ann, &told).await.unwrap());
    is_out([&one, &other], &token, ENDED).await;
    world.member("ann", Party::Merchant(MERCHANT), Role::Admin).await;
    is_out([&one, &other], &token, ENDED).await;
    let later = of_session(&world, "2", 0, &json!({}));
    assert_eq!(initiate(&other, &later).await.status, 200);
    assert!(acts(&one, &later).await && !acts(&one, &token).await);
    one.stop().await;
    other.stop().await;
}

async fn a_machines_token_ends_with_its_secret(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    let id = ApiClientId::parse("till").unwrap();
    for revoked in [false, true] {
        let answer = client_session(&one, "till", SECRET).await.json();
        let token = answer["access_token"].as_str().unwrap();
        assert!(acts(&other, token).await);
        // Even where the service account is a member, the token gets in no more.
        world.member(answer["user_id"].as_str().unwrap(), Party::Merchant(MERCHANT), Role::Admin).await;
        if revoked {
            assert!(revoke(&world.storage, &id).await);
        } else {
            let (_, hash) = world.storage.clients.find(&id).await.unwrap().unwrap();
            assert!(rotate(&world.storage, &id, &hash).await);
        }
        is_out([&one, &other], token, ENDED).await;
    }
    one.stop().await;
    other.stop().await;
}

async fn of_many_initiates_and_ends_the_end_wins(world: World) {
    let (one, other) = (world.server(), world.replica().await);
    for round in 0..6 {
        let token = world.mint(&json!({"sid": format!("s-{round}"), "jti": format!("t-{round}")}));
        assert_eq!(initiate(&one, &token).await.status, 200);
        let calls = (0..32).map(|caller| {
            let (server, token) = (if caller % 4 < 2 { &one } else { &other }, &token);
            async move { if caller % 2 == 0 { initiate(server, token).await } else { end(server, token).await } }
        });
        for answer in join_all(calls).await {
            assert!(matches!(answer.status.as_u16(), 200 | 401), "{answer:?}");
        }
        is_out([&one, &other], &token, ENDED).await;
    }
    one.stop().await;
    other.stop().await;
}

impl World {
    fn seconds(&self) -> i64 {
        use pos_port_clock::Clock as _;
        self.clock.now().unix_timestamp()
    }
}

on_both_engines!(
    an_ended_session_is_not_initiated_again,
    a_logged_out_session_is_begun_by_a_later_log_in,
    a_session_that_ends_with_its_membership_is_not_initiated_again,
    a_machines_token_ends_with_its_secret,
    of_many_initiates_and_ends_the_end_wins,
);
