//! Resellers and merchants, and who sees whom.

use pos_domain::{Merchant, Party, Scope};

use super::fixtures::{at, merchant};
use super::tenancy::{bringer, merchant_told, populated, reseller, reseller_told, shop};
use crate::{AddPartyError, MerchantPage, Storage};

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
