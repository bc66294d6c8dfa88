//! Contract cases: resellers and merchants, and their scopes.

use pos_domain::shared::{Fingerprint, IdempotencyKey, Party, Scope};
use pos_domain::tenancy::Merchant;
use time::OffsetDateTime;

use crate::Storage;
use crate::shared::{IdempotencyRecord, StoredResponse};
use crate::suite::audit::events::audit_events;
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, merchant};
use crate::suite::tenancy::fixtures::{
    merchant_added, merchant_row, populated, reseller, reseller_added, reseller_row,
};
use crate::tenancy::{AddPartyError, MerchantPage};

async fn listed(storage: &Storage, scope: Scope) -> Vec<Merchant> {
    storage.directory.list_merchants(&MerchantPage { scope, after: None, limit: 100 }).await.unwrap()
}

/// Resellers and merchants are read back to the microsecond.
pub async fn resellers_and_merchants_are_read_back(storage: Storage) {
    populated(&storage).await;
    assert_eq!(storage.directory.find_reseller(reseller(2)).await.unwrap(), Some(reseller_row(2)));
    assert_eq!(storage.directory.find_reseller(reseller(9)).await.unwrap(), None);
    for wanted in [merchant_row(1, Some(1)), merchant_row(4, None)] {
        assert_eq!(storage.directory.find_merchant(Scope::Operator, wanted.id).await.unwrap(), Some(wanted));
    }
    assert_eq!(storage.directory.find_merchant(Scope::Operator, merchant(9)).await.unwrap(), None);
}

/// An existing id is refused, and the first owner stays unchanged.
pub async fn a_party_is_created_once(storage: Storage) {
    populated(&storage).await;
    let again = storage
        .directory
        .add_reseller(&pos_domain::tenancy::Reseller { created_at: at(9), ..reseller_row(1) }, &reseller_added(1))
        .await;
    assert!(matches!(again, Err(AddPartyError::Taken)), "{again:?}");
    let again = storage.directory.add_merchant(&merchant_row(1, None), None, &merchant_added(1)).await;
    assert!(matches!(again, Err(AddPartyError::Taken)), "{again:?}");
    assert_eq!(storage.directory.find_reseller(reseller(1)).await.unwrap(), Some(reseller_row(1)));
    assert_eq!(listed(&storage, Scope::Operator).await[0], merchant_row(1, Some(1)));
}

/// A merchant's reseller must exist.
pub async fn a_merchant_of_an_unknown_reseller_is_refused(storage: Storage) {
    let refused = storage.directory.add_merchant(&merchant_row(1, Some(1)), None, &merchant_added(1)).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    assert_eq!(listed(&storage, Scope::Operator).await, []);
}

/// A scope finds only its own merchants, by id and in lists.
pub async fn a_scope_finds_its_own_merchants_only(storage: Storage) {
    populated(&storage).await;
    for (scope, seen) in [
        (Scope::Operator, vec![1, 2, 3, 4]),
        (Scope::Of(Party::Merchant(merchant(1))), vec![1]),
        (Scope::Of(Party::Merchant(merchant(9))), vec![]),
        (Scope::Of(Party::Reseller(reseller(1))), vec![1, 2]),
        (Scope::Of(Party::Reseller(reseller(2))), vec![3]),
        (Scope::Of(Party::Reseller(reseller(9))), vec![]),
    ] {
        let ids: Vec<_> = listed(&storage, scope).await.iter().map(|merchant| merchant.id).collect();
        assert_eq!(ids, seen.iter().map(|number| merchant(*number)).collect::<Vec<_>>(), "{scope:?}");
        for number in 1..=4 {
            let found = storage.directory.find_merchant(scope, merchant(number)).await.unwrap();
            assert_eq!(found.is_some(), seen.contains(&number), "{scope:?} and merchant {number}");
        }
    }
}

/// Pages are complete and in the order of ids.
pub async fn parties_are_paged(storage: Storage) {
    populated(&storage).await;
    let page = async |after, limit| {
        let page = MerchantPage { scope: Scope::Operator, after, limit };
        storage.directory.list_merchants(&page).await.unwrap().into_iter().map(|merchant| merchant.id).collect()
    };
    let first: Vec<_> = page(None, 3).await;
    assert_eq!(first, [merchant(1), merchant(2), merchant(3)]);
    let second: Vec<_> = page(Some(merchant(3)), 3).await;
    assert_eq!(second, [merchant(4)]);
    assert_eq!(storage.directory.list_resellers(None, 1).await.unwrap(), [reseller_row(1)]);
    assert_eq!(storage.directory.list_resellers(Some(reseller(1)), 9).await.unwrap(), [reseller_row(2)]);
}

fn idempotency(number: u8, now: OffsetDateTime) -> IdempotencyRecord {
    IdempotencyRecord {
        party: Party::Reseller(reseller(1)),
        key: IdempotencyKey::parse("the-key").unwrap(),
        fingerprint: Fingerprint([number; 32]),
        answer: format!("merchant {number}"),
        at: now,
        expires_at: now + time::Duration::seconds(100),
    }
}

fn replayed(answer: Result<(), AddPartyError>) -> StoredResponse {
    match answer {
        Err(AddPartyError::Answered(stored)) => stored,
        other => panic!("{other:?}"),
    }
}

/// A merchant is created once per key: a second request gets the first response and stores nothing, until the response
/// expires. A refused request stores no response.
pub async fn a_merchant_is_created_once_per_key(storage: Storage) {
    populated(&storage).await;
    let before = audit_events(&storage).await.len();
    let add = async |number: u8, of, seconds| {
        let idempotency = idempotency(number, at(seconds));
        storage.directory.add_merchant(&merchant_row(number, of), Some(&idempotency), &merchant_added(number)).await
    };
    let refused = add(7, Some(9), 0).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    let refused = add(1, Some(1), 0).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    add(5, Some(1), 0).await.unwrap();
    let first = StoredResponse { fingerprint: Fingerprint([5; 32]), answer: "merchant 5".to_owned() };
    for (number, of) in [(5, Some(1)), (6, Some(1)), (6, Some(9)), (1, None)] {
        assert_eq!(replayed(add(number, of, 99).await), first, "merchant {number} of {of:?}");
    }
    let idempotency = idempotency(5, at(0));
    assert_eq!(storage.idempotency.find(idempotency.party, &idempotency.key, at(99)).await.unwrap(), Some(first));
    assert_eq!(storage.directory.find_merchant(Scope::Operator, merchant(6)).await.unwrap(), None);
    assert_eq!(audit_events(&storage).await[before..], [merchant_added(5)]);
    add(6, Some(1), 100).await.unwrap();
    let later = storage.idempotency.find(idempotency.party, &idempotency.key, at(100)).await.unwrap();
    assert_eq!(later.unwrap().answer, "merchant 6");
    assert_eq!(audit_events(&storage).await[before..], [merchant_added(5), merchant_added(6)]);
}

/// Of concurrent creations with one key, one succeeds; the others get its response.
pub async fn concurrent_creations_with_one_key_create_one_merchant(storage: Storage) {
    populated(&storage).await;
    let before = audit_events(&storage).await.len();
    let idempotency = concurrently(|number| {
        let (storage, number) = (storage.clone(), 100 + u8::try_from(number).unwrap());
        async move {
            let idempotency = idempotency(number, at(0));
            let (merchant, audit) = (merchant_row(number, None), merchant_added(number));
            let added = storage.directory.add_merchant(&merchant, Some(&idempotency), &audit).await;
            (number, added)
        }
    });
    let (made, others): (Vec<_>, Vec<_>) = idempotency.await.into_iter().partition(|(_, added)| added.is_ok());
    assert_eq!(made.len(), 1, "{made:?}");
    let winner = made[0].0;
    for (_, answer) in others {
        assert_eq!(replayed(answer).answer, format!("merchant {winner}"));
    }
    assert_eq!(listed(&storage, Scope::Operator).await.len(), 5);
    assert_eq!(audit_events(&storage).await[before..], [merchant_added(winner)]);
}
