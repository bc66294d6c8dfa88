//! Contract cases: memberships, API clients and the failure counts of client secrets.

use pos_domain::shared::{GrantId, Party, Role, Scope, UserId};
use pos_domain::tenancy::ApiClient;

use crate::Storage;
use crate::suite::fixtures::{at, merchant, user};
use crate::suite::tenancy::fixtures::{
    add_client, anna, client, grant, grant_membership, hash, membership, populated, remove_member, reseller, revoke,
    rotate,
};
use crate::tenancy::GrantError;

const MERCHANT: fn() -> Party = || Party::Merchant(merchant(1));
const RESELLER: fn() -> Party = || Party::Reseller(reseller(1));

/// A membership is read back as granted, for its own party only.
pub async fn a_membership_is_read_back_at_its_party(storage: Storage) {
    let anna = anna(&storage).await;
    let here = membership(2, "anna", RESELLER(), Role::Viewer);
    grant_membership(&storage, &here).await.unwrap();
    let at_party = async |party| storage.members.find(party, &user("anna")).await.unwrap();
    assert_eq!(at_party(MERCHANT()).await, Some(anna));
    assert_eq!(at_party(RESELLER()).await, Some(here));
    assert_eq!(at_party(Party::Merchant(merchant(2))).await, None);
    assert_eq!(storage.members.find(MERCHANT(), &user("Anna")).await.unwrap(), None);
}

/// A user has one membership per party: a later one replaces the earlier one and its grant.
pub async fn a_second_membership_replaces_the_first(storage: Storage) {
    anna(&storage).await;
    let later = membership(2, "anna", MERCHANT(), Role::Viewer);
    grant_membership(&storage, &later).await.unwrap();
    assert_eq!(storage.members.find(MERCHANT(), &user("anna")).await.unwrap(), Some(later.clone()));
    assert_eq!(storage.members.list(Scope::Operator, None, 10).await.unwrap(), [later]);
}

/// A membership needs an existing party and a unique grant.
pub async fn an_invalid_membership_is_refused(storage: Storage) {
    anna(&storage).await;
    for party in [Party::Merchant(merchant(9)), Party::Reseller(reseller(9))] {
        let refused = grant_membership(&storage, &membership(2, "bert", party, Role::Viewer)).await;
        assert!(matches!(refused, Err(GrantError::UnknownParty)), "{refused:?}");
    }
    let refused = grant_membership(&storage, &membership(1, "bert", MERCHANT(), Role::Viewer)).await;
    assert!(matches!(refused, Err(GrantError::Taken)), "{refused:?}");
    assert_eq!(storage.members.list(Scope::Operator, None, 10).await.unwrap().len(), 1);
}

/// A membership is removed once, and no other with it.
pub async fn a_membership_is_removed_once(storage: Storage) {
    anna(&storage).await;
    let here = membership(2, "anna", RESELLER(), Role::Viewer);
    grant_membership(&storage, &here).await.unwrap();
    assert!(remove_member(&storage, MERCHANT(), &user("anna")).await.unwrap());
    assert!(!remove_member(&storage, MERCHANT(), &user("anna")).await.unwrap());
    assert_eq!(storage.members.list(Scope::Operator, None, 10).await.unwrap(), [here]);
}

/// Members are listed for their own party, or for an operator, page by page.
pub async fn members_are_listed_by_their_party(storage: Storage) {
    populated(&storage).await;
    for (number, party) in [(1, MERCHANT()), (2, RESELLER()), (3, MERCHANT()), (4, Party::Merchant(merchant(2)))] {
        let one = membership(number, &format!("user-{number}"), party, Role::Viewer);
        grant_membership(&storage, &one).await.unwrap();
    }
    for (scope, after, limit, seen) in [
        (Scope::Operator, None, 10, vec![1, 2, 3, 4]),
        (Scope::Operator, None, 2, vec![1, 2]),
        (Scope::Operator, Some(2), 10, vec![3, 4]),
        (Scope::Of(MERCHANT()), None, 10, vec![1, 3]),
        (Scope::Of(MERCHANT()), Some(1), 10, vec![3]),
        (Scope::Of(RESELLER()), None, 10, vec![2]),
        (Scope::Of(Party::Merchant(merchant(9))), None, 10, vec![]),
    ] {
        let listed = storage.members.list(scope, after.map(grant), limit).await.unwrap();
        let grants: Vec<GrantId> = listed.iter().map(|one| one.grant).collect();
        assert_eq!(grants, seen.into_iter().map(grant).collect::<Vec<_>>(), "{scope:?} after {after:?}");
    }
}

/// A client is read back with its secret's hash, and created once.
pub async fn a_client_is_created_once(storage: Storage) {
    populated(&storage).await;
    let till = client(1, "till", MERCHANT());
    add_client(&storage, &till, &hash(1)).await.unwrap();
    assert_eq!(storage.clients.find(&till.id).await.unwrap(), Some((till.clone(), hash(1))));
    assert_eq!(storage.clients.find(&client(1, "Till", MERCHANT()).id).await.unwrap(), None);
    for again in [client(2, "till", RESELLER()), client(1, "other", MERCHANT())] {
        let refused = add_client(&storage, &again, &hash(2)).await;
        assert!(matches!(refused, Err(GrantError::Taken)), "{refused:?}");
    }
    let refused = add_client(&storage, &client(3, "lost", Party::Merchant(merchant(9))), &hash(3)).await;
    assert!(matches!(refused, Err(GrantError::UnknownParty)), "{refused:?}");
    assert_eq!(storage.clients.find(&till.id).await.unwrap(), Some((till, hash(1))));
}

/// A client can be rotated until it is revoked; a revocation is permanent.
pub async fn a_client_is_rotated_until_it_is_revoked(storage: Storage) {
    populated(&storage).await;
    let till = client(1, "till", RESELLER());
    assert!(!rotate(&storage, &till.id, grant(2), &hash(2)).await.unwrap());
    assert!(!revoke(&storage, &till.id, at(1)).await.unwrap());
    add_client(&storage, &till, &hash(1)).await.unwrap();
    assert!(rotate(&storage, &till.id, grant(2), &hash(2)).await.unwrap());
    let rotated = ApiClient { grant: grant(2), ..till.clone() };
    assert_eq!(storage.clients.find(&till.id).await.unwrap(), Some((rotated.clone(), hash(2))));
    assert!(revoke(&storage, &till.id, at(7)).await.unwrap());
    assert!(!revoke(&storage, &till.id, at(8)).await.unwrap());
    assert!(!rotate(&storage, &till.id, grant(3), &hash(3)).await.unwrap());
    let revoked = ApiClient { revoked_at: Some(at(7)), ..rotated };
    assert_eq!(storage.clients.find(&till.id).await.unwrap(), Some((revoked, hash(2))));
}

/// Clients are listed for their own party, or for an operator, page by page.
pub async fn clients_are_listed_by_their_party(storage: Storage) {
    populated(&storage).await;
    let all = [client(1, "B", MERCHANT()), client(2, "a", RESELLER()), client(3, "b", MERCHANT())];
    for one in &all {
        add_client(&storage, one, &hash(1)).await.unwrap();
    }
    let listed = async |scope, after: Option<&ApiClient>, limit| {
        storage.clients.list(scope, after.map(|client| &client.id), limit).await.unwrap()
    };
    assert_eq!(listed(Scope::Operator, None, 10).await, all, "in the order of bytes");
    assert_eq!(listed(Scope::Operator, Some(&all[0]), 1).await, all[1..2]);
    assert_eq!(listed(Scope::Of(MERCHANT()), None, 10).await, [all[0].clone(), all[2].clone()]);
    assert_eq!(listed(Scope::Of(Party::Merchant(merchant(2))), None, 10).await, []);
}

/// Wrong secrets are counted per subject by the domain rule.
pub async fn wrong_secrets_are_counted(storage: Storage) {
    let limit = pos_domain::shared::AttemptLimit { max_failures: 3, window: time::Duration::seconds(60) };
    let failures = &storage.client_failures;
    assert_eq!(failures.window("till").await.unwrap(), None);
    let mut expected = None;
    for seconds in [1, 2, 60, 61, 62, 200] {
        expected = Some(limit.count(expected, at(seconds)));
        assert_eq!(Some(failures.record("till", &limit, at(seconds)).await.unwrap()), expected, "at {seconds}");
        assert_eq!(failures.window("till").await.unwrap(), expected);
    }
    assert_eq!(failures.window("unknown:7").await.unwrap(), None);
}

/// The longest user id and client id are stored.
pub async fn the_longest_ids_are_stored(storage: Storage) {
    populated(&storage).await;
    let user_id = UserId::parse(&"é".repeat(127)).unwrap();
    let mut long = membership(1, "x", MERCHANT(), Role::Admin);
    long.member.user_id = user_id.clone();
    grant_membership(&storage, &long).await.unwrap();
    assert_eq!(storage.members.find(MERCHANT(), &user_id).await.unwrap(), Some(long));
    let client = client(2, &"x".repeat(64), MERCHANT());
    add_client(&storage, &client, &hash(1)).await.unwrap();
    assert_eq!(storage.clients.find(&client.id).await.unwrap().map(|(found, _)| found), Some(client));
}
