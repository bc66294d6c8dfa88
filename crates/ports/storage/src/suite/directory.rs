//! Resellers and merchants, and who sees whom.

use pos_domain::{Fingerprint, IdempotencyKey, Merchant, Party, Scope};
use time::OffsetDateTime;

use super::audit::on_record;
use super::fixtures::{at, merchant};
use super::races::together;
use super::tenancy::{bringer, merchant_told, populated, reseller, reseller_told, shop};
use crate::{AddPartyError, KeptAnswer, MerchantPage, Once, Storage};

async fn listed(storage: &Storage, scope: Scope) -> Vec<Merchant> {
    storage.directory.list_merchants(&MerchantPage { scope, after: None, limit: 100 }).await.unwrap()
}

/// What was made known is read back, to the microsecond.
pub async fn resellers_and_merchants_are_read_back(storage: Storage) {
    populated(&storage).await;
    assert_eq!(storage.directory.find_reseller(reseller(2)).await.unwrap(), Some(bringer(2)));
    assert_eq!(storage.directory.find_reseller(reseller(9)).await.unwrap(), None);
    for wanted in [shop(1, Some(1)), shop(4, None)] {
        assert_eq!(storage.directory.find_merchant(Scope::Operator, wanted.id).await.unwrap(), Some(wanted));
    }
    assert_eq!(storage.directory.find_merchant(Scope::Operator, merchant(9)).await.unwrap(), None);
}

/// An id is given once; the first keeps it.
pub async fn a_party_is_made_known_once(storage: Storage) {
    populated(&storage).await;
    let again = storage
        .directory
        .add_reseller(&pos_domain::Reseller { created_at: at(9), ..bringer(1) }, &reseller_told(1))
        .await;
    assert!(matches!(again, Err(AddPartyError::Taken)), "{again:?}");
    let again = storage.directory.add_merchant(&shop(1, None), None, &merchant_told(1)).await;
    assert!(matches!(again, Err(AddPartyError::Taken)), "{again:?}");
    assert_eq!(storage.directory.find_reseller(reseller(1)).await.unwrap(), Some(bringer(1)));
    assert_eq!(listed(&storage, Scope::Operator).await[0], shop(1, Some(1)));
}

/// A merchant's reseller must be there.
pub async fn a_merchant_of_nobodys_reseller_is_refused(storage: Storage) {
    let refused = storage.directory.add_merchant(&shop(1, Some(1)), None, &merchant_told(1)).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    assert_eq!(listed(&storage, Scope::Operator).await, []);
}

/// A scope finds its own merchants and nothing else, by id as in lists.
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
pub async fn parties_are_listed_page_by_page(storage: Storage) {
    populated(&storage).await;
    let page = async |after, limit| {
        let page = MerchantPage { scope: Scope::Operator, after, limit };
        storage.directory.list_merchants(&page).await.unwrap().into_iter().map(|merchant| merchant.id).collect()
    };
    let first: Vec<_> = page(None, 3).await;
    assert_eq!(first, [merchant(1), merchant(2), merchant(3)]);
    let second: Vec<_> = page(Some(merchant(3)), 3).await;
    assert_eq!(second, [merchant(4)]);
    assert_eq!(storage.directory.list_resellers(None, 1).await.unwrap(), [bringer(1)]);
    assert_eq!(storage.directory.list_resellers(Some(reseller(1)), 9).await.unwrap(), [bringer(2)]);
}

fn once(number: u8, now: OffsetDateTime) -> Once {
    Once {
        party: Party::Reseller(reseller(1)),
        key: IdempotencyKey::parse("the-key").unwrap(),
        fingerprint: Fingerprint([number; 32]),
        answer: format!("merchant {number}"),
        at: now,
        keep_until: now + time::Duration::seconds(100),
    }
}

fn kept(answer: Result<(), AddPartyError>) -> KeptAnswer {
    match answer {
        Err(AddPartyError::Answered(kept)) => kept,
        other => panic!("{other:?}"),
    }
}

/// A merchant is made known once for a key: a second call finds the first one's answer and leaves nothing, until the
/// answer's time is over. A call that was refused keeps no answer.
pub async fn a_merchant_is_made_known_once_for_a_key(storage: Storage) {
    populated(&storage).await;
    let before = on_record(&storage).await.len();
    let add = async |number: u8, of, seconds| {
        let once = once(number, at(seconds));
        storage.directory.add_merchant(&shop(number, of), Some(&once), &merchant_told(number)).await
    };
    let refused = add(7, Some(9), 0).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    let refused = add(1, Some(1), 0).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    add(5, Some(1), 0).await.unwrap();
    let first = KeptAnswer { fingerprint: Fingerprint([5; 32]), answer: "merchant 5".to_owned() };
    for (number, of) in [(5, Some(1)), (6, Some(1)), (6, Some(9)), (1, None)] {
        assert_eq!(kept(add(number, of, 99).await), first, "merchant {number} of {of:?}");
    }
    let once = once(5, at(0));
    assert_eq!(storage.answers.find(once.party, &once.key, at(99)).await.unwrap(), Some(first));
    assert_eq!(storage.directory.find_merchant(Scope::Operator, merchant(6)).await.unwrap(), None);
    assert_eq!(on_record(&storage).await[before..], [merchant_told(5)]);
    add(6, Some(1), 100).await.unwrap();
    assert_eq!(storage.answers.find(once.party, &once.key, at(100)).await.unwrap().unwrap().answer, "merchant 6");
    assert_eq!(on_record(&storage).await[before..], [merchant_told(5), merchant_told(6)]);
}

/// Of many who make merchants known with one key at once, one does; the others are told its answer.
pub async fn of_many_with_one_key_one_makes_a_merchant(storage: Storage) {
    populated(&storage).await;
    let before = on_record(&storage).await.len();
    let answers = together(|number| {
        let (storage, number) = (storage.clone(), 100 + u8::try_from(number).unwrap());
        async move {
            let once = once(number, at(0));
            let added = storage.directory.add_merchant(&shop(number, None), Some(&once), &merchant_told(number)).await;
            (number, added)
        }
    });
    let (made, others): (Vec<_>, Vec<_>) = answers.await.into_iter().partition(|(_, added)| added.is_ok());
    assert_eq!(made.len(), 1, "{made:?}");
    let winner = made[0].0;
    for (_, answer) in others {
        assert_eq!(kept(answer).answer, format!("merchant {winner}"));
    }
    assert_eq!(listed(&storage, Scope::Operator).await.len(), 5);
    assert_eq!(on_record(&storage).await[before..], [merchant_told(winner)]);
}
