//! Many at once.

use std::sync::Arc;

use futures_util::future::join_all;
use pos_adapters::clock::SystemEntropy;
use pos_application::ManageMembers;
use pos_domain::{Act, ApiClientId, Member, Party, Role, UserId};
use pos_port_storage::Span;
use pos_tests::postgres::TestDatabase;
use pos_tests::server::MERCHANT;
use pos_tests::stores::TestStore;
use tokio::task::JoinSet;

use super::world::{SECRET, World, acts, client_session, initiate, on_both_engines, revoke, rotate};

async fn sixty_four_initiate_one_session(world: World) {
    let server = world.server();
    let token = world.log_in("ann").await.access;
    let answers = join_all((0..64).map(|_| initiate(&server, &token))).await;
    let first = answers[0].json();
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.json()), (200, first.clone()));
    }
    assert!(acts(&server, &token).await);
    super::world::end(&server, &token).await;
    assert!(!acts(&server, &token).await, "there was one");
    server.stop().await;
}

async fn no_machine_outlives_its_revocation(world: World) {
    let server = Arc::new(world.server());
    for round in 0..6 {
        let name = "till";
        let id = ApiClientId::parse(name).unwrap();
        let (kept, hash) = world.storage.clients.find(&id).await.unwrap().unwrap();
        let asking = join_all((0..8).map(|_| client_session(&server, name, SECRET)));
        let ending = async {
            if round < 5 {
                rotate(&world.storage, &kept.id, &hash).await
            } else {
                revoke(&world.storage, &kept.id).await
            }
        };
        let (answers, ended) = tokio::join!(asking, ending);
        assert!(ended);
        let now = world.storage.clients.find(&id).await.unwrap().unwrap().0;
        for answer in answers {
            match answer.status.as_u16() {
                200 => {
                    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
                    let alive = acts(&server, &token).await;
                    assert!(!alive || now.revoked_at.is_none(), "alive after the revocation");
                }
                401 => {}
                _ => panic!("{answer:?}"),
            }
        }
    }
    assert_eq!(client_session(&server, "till", SECRET).await.status, 401);
}

async fn sixty_four_give_one_role(world: World) {
    let events = async || world.storage.events.audit_by_time(&Span { limit: 1_000, ..Span::default() }, None).await;
    let before = events().await.unwrap().len();
    let manage =
        Arc::new(ManageMembers::new(world.storage.members.clone(), world.clock.clone(), Arc::new(SystemEntropy)));
    for (role, role_before) in [(Role::Viewer, None), (Role::Admin, Some("viewer"))] {
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let manage = Arc::clone(&manage);
            let user_id = UserId::parse("newcomer").unwrap();
            let member = Member { user_id, party: Party::Merchant(MERCHANT), role };
            calls.spawn(async move { manage.add(member, Act::operator()).await.unwrap().map(|one| one.member.role) });
        }
        let replaced = calls.join_all().await;
        assert_eq!(replaced.iter().filter(|before| **before != Some(role)).count(), 1, "one gave it: {replaced:?}");
        let told = events().await.unwrap().pop().unwrap().event;
        assert_eq!(told.detail["role"], role.as_str());
        assert_eq!(told.detail.get("role_before").map(String::as_str), role_before);
    }
    assert_eq!(events().await.unwrap().len(), before + 2, "each gift is on record once");
}

on_both_engines!(sixty_four_initiate_one_session, no_machine_outlives_its_revocation, sixty_four_give_one_role,);

/// The table itself: one session is one row. What is over is left to the schedule, and goes with its grant at the latest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_initiates_leave_one_row() {
    let database = TestDatabase::migrated().await;
    let world = World::on(TestStore::on_database(database).await).await;
    let client = world.store.client().await;
    let rows = async || -> i64 { client.query_one("SELECT count(*) FROM sessions", &[]).await.unwrap().get(0) };
    let server = world.server();
    let token = world.log_in("ann").await.access;
    join_all((0..64).map(|_| initiate(&server, &token))).await;
    assert_eq!(rows().await, 1);
    let key: String = client.query_one("SELECT session_key FROM sessions", &[]).await.unwrap().get(0);
    assert!(key.len() == 64 && !token.contains(&key));
    initiate(&server, &world.log_in("ann").await.access).await;
    assert_eq!(rows().await, 2);
    world.advance(36_001);
    initiate(&server, &world.log_in("ann").await.access).await;
    assert_eq!(rows().await, 3, "a start is not slowed by what is over");
    world.member("ann", Party::Merchant(MERCHANT), Role::Viewer).await;
    assert_eq!(rows().await, 0);
    server.stop().await;
}
