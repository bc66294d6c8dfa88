//! Contract cases: staging, decisions, completion and results of imports.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::device::DeviceDetails;
use pos_domain::fleet::{ImportId, ImportMode, ImportedDevice, RowRefusal};
use pos_domain::shared::{DeviceId, Fingerprint, IdempotencyKey, LocationId, Name, Party, Scope};
use pos_domain::tenancy::Location;

use crate::Storage;
use crate::device::DeviceHistory;
use crate::fleet::{
    FinalizeError, ImportRef, ImportState, NewImport, RowDecision, RowResult, StagedRow, UnreadRow, UploadSummary,
};
use crate::shared::StorageError;
use crate::suite::fixtures::{at, context, id, load, merchant, provisioned, user};
use crate::suite::tenancy::fixtures::{populated, reseller};

pub(crate) const KEEP: i64 = 86_400;

pub(crate) fn own() -> Scope {
    Scope::Of(Party::Reseller(reseller(1)))
}

pub(crate) fn import(number: u8, owner: Scope) -> ImportRef {
    let text = format!("0c0c0c0c-0000-4000-8000-0000000000{number:02x}");
    ImportRef { id: ImportId(text.parse().unwrap()), owner }
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(crate) fn upload(import: ImportRef, mode: ImportMode, key: Option<IdempotencyKey>) -> NewImport {
    let audit_context = context().with_actor(pos_domain::shared::Actor::User(user("rob")));
    NewImport { import, mode, audit_context, key, created_at: at(0), expires_at: at(600) }
}

pub(crate) fn device(number: u32, of: u8) -> ImportedDevice {
    ImportedDevice { id: id(number), merchant_id: merchant(of), details: DeviceDetails::default() }
}

pub(crate) fn row(number: u64, device: ImportedDevice) -> StagedRow {
    StagedRow { number, read: Ok(device) }
}

fn unread(number: u64, device: Option<DeviceId>, refusal: RowRefusal) -> StagedRow {
    StagedRow { number, read: Err(UnreadRow { device_id: device, refusal }) }
}

pub(crate) fn summary(rows: u64, seconds: i64) -> UploadSummary {
    UploadSummary { fingerprint: Fingerprint([7; 32]), rows, at: at(seconds), expires_at: at(seconds + KEEP) }
}

/// An import of these rows, finalized at second 10.
pub(crate) async fn uploaded(storage: &Storage, import: ImportRef, mode: ImportMode, rows: &[StagedRow]) {
    storage.staging.open(&upload(import, mode, None)).await.unwrap();
    storage.staging.stage(&import, rows, at(600)).await.unwrap();
    storage.staging.finalize_upload(&import, &summary(rows.len() as u64, 10)).await.unwrap();
}

/// Applies decisions like the use case: duplicates are refused, the others created.
async fn apply_decisions(storage: &Storage, import: &ImportRef, after: u64, limit: u32) -> Option<u64> {
    let rows = storage.imports.pending_rows(import, after, limit).await.unwrap();
    let last = rows.last()?.number;
    let decisions: Vec<_> = rows
        .into_iter()
        .map(|row| RowDecision {
            number: row.number,
            decision: match row.earlier {
                Some(of) => Err(RowRefusal::Duplicate { of }),
                None => Ok(row.device.provision(upload(*import, ImportMode::BestEffort, None).audit_context, at(20))),
            },
        })
        .collect();
    storage.imports.apply_decisions(import, &decisions).await.unwrap();
    Some(last)
}

pub(crate) async fn apply_all_decisions(storage: &Storage, import: &ImportRef) {
    let mut after = 0;
    while let Some(last) = apply_decisions(storage, import, after, 3).await {
        after = last;
    }
}

pub(crate) async fn outcomes(storage: &Storage, import: &ImportRef) -> Vec<Result<(), RowRefusal>> {
    let mut all: Vec<RowResult> = Vec::new();
    loop {
        let after = all.last().map_or(0, |row| row.number);
        let page = storage.imports.results(import, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    assert!(all.iter().map(|row| row.number).eq(1..=all.len() as u64), "{all:?}");
    all.into_iter().map(|row| row.outcome).collect()
}

async fn till(storage: &Storage, number: u8, of: u8) -> LocationId {
    let id = LocationId(format!("0a0a0a0a-0000-4000-8000-0000000000{number:02x}").parse().unwrap());
    let name = Name::parse("Till").unwrap();
    let location = Location { id, merchant_id: merchant(of), name, created_at: at(0) };
    let audit = AuditEvent::of(
        AuditKind::LocationAdded,
        Subject::Location(id),
        pos_domain::shared::AuditContext::operator(),
        at(0),
    );
    storage.locations.add_location(Scope::Operator, &location, None, &audit).await.unwrap();
    id
}

/// Rows are read back as staged, in order and page by page; they are not visible before finalization or to another
/// owner.
pub async fn staged_rows_are_read_back(storage: Storage) {
    populated(&storage).await;
    let import = import(1, own());
    let details =
        DeviceDetails { label: Some(Name::parse("Kasse № 1").unwrap()), location_id: Some(LocationId(uuid(9))) };
    let labelled = ImportedDevice { details, ..device(2, 2) };
    let rows = [row(1, device(1, 1)), unread(2, None, RowRefusal::malformed("no row")), row(3, labelled.clone())];
    let new = upload(import, ImportMode::BestEffort, Some(key("a")));
    storage.staging.open(&new).await.unwrap();
    storage.staging.stage(&import, &rows, at(600)).await.unwrap();
    storage.staging.stage(&import, &[row(4, device(1, 2))], at(600)).await.unwrap();
    assert_eq!(storage.imports.find(&import).await.unwrap(), None);
    assert_eq!(storage.imports.pending_rows(&import, 0, 10).await.unwrap(), []);
    assert_eq!(storage.staging.find_by_key(own(), &key("a"), at(1)).await.unwrap(), None);

    let stored = storage.staging.finalize_upload(&import, &summary(4, 10)).await.unwrap();
    assert_eq!(
        (stored.import, stored.mode, &stored.audit_context),
        (import, ImportMode::BestEffort, &new.audit_context)
    );
    assert_eq!((stored.fingerprint, stored.rows, stored.state), (Fingerprint([7; 32]), 4, ImportState::Uploaded));
    assert_eq!(storage.imports.find(&import).await.unwrap(), Some(stored.clone()));
    assert_eq!(storage.staging.find_by_key(own(), &key("a"), at(11)).await.unwrap(), Some(stored));
    let pending_rows = storage.imports.pending_rows(&import, 0, 10).await.unwrap();
    let seen: Vec<_> =
        pending_rows.iter().map(|row| (row.number, row.device.clone(), row.earlier, row.taken)).collect();
    let expected = [(1, device(1, 1), None, false), (3, labelled, None, false), (4, device(1, 2), Some(1), false)];
    assert_eq!(seen, expected);
    assert_eq!(storage.imports.pending_rows(&import, 1, 1).await.unwrap(), pending_rows[1..2]);
    for owner in [Scope::Operator, Scope::Of(Party::Reseller(reseller(2))), Scope::Of(Party::Merchant(merchant(1)))] {
        let strangers = ImportRef { owner, ..import };
        assert_eq!(storage.imports.find(&strangers).await.unwrap(), None);
        assert_eq!(storage.imports.pending_rows(&strangers, 0, 10).await.unwrap(), []);
        assert_eq!(storage.imports.results(&strangers, 0, 10).await.unwrap(), []);
        assert_eq!(storage.staging.find_by_key(owner, &key("a"), at(11)).await.unwrap(), None);
        assert!(storage.staging.stage(&strangers, &[row(5, device(5, 1))], at(600)).await.is_err());
        assert!(matches!(storage.imports.complete(&strangers, at(12)).await, Err(StorageError::Fault(_))));
    }
}

fn uuid<T: std::str::FromStr>(number: u8) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("0a0a0a0a-0000-4000-8000-0000000000{number:02x}").parse().unwrap()
}

/// A finalized upload accepts no more rows, and a row number is accepted once.
pub async fn rows_are_staged_once_and_before_finalization(storage: Storage) {
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&import, &[row(1, device(1, 1))], at(600)).await.unwrap();
    let twice = storage.staging.stage(&import, &[row(2, device(2, 1)), row(1, device(3, 1))], at(600)).await;
    assert!(matches!(twice, Err(StorageError::Fault(_))), "{twice:?}");
    storage.staging.finalize_upload(&import, &summary(1, 10)).await.unwrap();
    assert_eq!(
        storage.imports.pending_rows(&import, 0, 10).await.unwrap().len(),
        1,
        "a call stages all its rows or none"
    );
    assert!(storage.staging.stage(&import, &[row(2, device(2, 1))], at(600)).await.is_err());
    assert!(matches!(storage.staging.finalize_upload(&import, &summary(1, 10)).await, Err(FinalizeError::Storage(_))));
    assert!(
        storage
            .staging
            .stage(&crate::suite::fleet::imports::import(2, Scope::Operator), &[row(1, device(1, 1))], at(600))
            .await
            .is_err()
    );
}

/// Best effort: valid rows become devices with event and details, and every other row has its own refusal.
pub async fn each_row_has_its_own_outcome(storage: Storage) {
    populated(&storage).await;
    let (own_location, other_location) = (till(&storage, 1, 1).await, till(&storage, 2, 2).await);
    provisioned(&storage, 9).await;
    let at_till = |number, location| ImportedDevice {
        details: DeviceDetails { label: Some(Name::parse("Bar").unwrap()), location_id: Some(location) },
        ..device(number, 1)
    };
    let rows = [
        row(1, device(1, 1)),
        row(2, at_till(2, own_location)),
        unread(3, Some(id(3)), RowRefusal::InvalidLabel),
        row(4, at_till(4, other_location)),
        row(5, device(5, 3)),
        row(6, device(1, 2)),
        row(7, device(9, 1)),
    ];
    let import = import(1, own());
    uploaded(&storage, import, ImportMode::BestEffort, &rows).await;
    assert!(storage.imports.pending_rows(&import, 6, 10).await.unwrap()[0].taken);
    apply_all_decisions(&storage, &import).await;
    assert_eq!(storage.imports.pending_rows(&import, 0, 10).await.unwrap(), []);
    let ended = storage.imports.complete(&import, at(30)).await.unwrap();
    assert_eq!(ended.state, ImportState::Applied);
    let expected = [
        Ok(()),
        Ok(()),
        Err(RowRefusal::InvalidLabel),
        Err(RowRefusal::UnknownLocation),
        Err(RowRefusal::UnknownMerchant),
        Err(RowRefusal::Duplicate { of: 1 }),
        Err(RowRefusal::Taken),
    ];
    assert_eq!(outcomes(&storage, &import).await, expected);
    let shown = storage.imports.results(&import, 2, 1).await.unwrap();
    assert_eq!(shown[0].device_id, Some(id(3)));
    let second = load(&storage, &id(2)).await;
    assert_eq!((second.version(), second.details().location_id), (1, Some(own_location)));
    assert_eq!(second.details().label.as_ref().map(Name::as_str), Some("Bar"));
    let events = storage.events.events_of(&DeviceHistory::whole(&id(2))).await.unwrap();
    let asked = upload(import, ImportMode::BestEffort, None);
    assert_eq!((events.len(), &events[0].audit_context, events[0].at), (1, &asked.audit_context, at(20)));
    let mut check = pos_domain::device::ChainVerifier::of(&second);
    check.see(&events[0]);
    assert_eq!(check.finish(), (0, Vec::new()));
    for number in [3, 4, 5] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
    assert_eq!(load(&storage, &id(9)).await.merchant_id(), merchant(1));
}

/// All or nothing without refusals: all devices are created on completion, with the sender's audit context.
pub async fn all_or_nothing_creates_all_devices_on_completion(storage: Storage) {
    populated(&storage).await;
    let till = till(&storage, 1, 2).await;
    let details = DeviceDetails { label: None, location_id: Some(till) };
    let rows: Vec<_> = (1..=2_500_u32)
        .rev()
        .zip(1..)
        .map(|(number, position)| row(position, ImportedDevice { details: details.clone(), ..device(number, 2) }))
        .collect();
    let import = import(1, own());
    uploaded(&storage, import, ImportMode::AllOrNothing, &rows).await;
    for _ in 0..2 {
        let ended = storage.imports.complete(&import, at(30)).await.unwrap();
        assert_eq!(ended.state, ImportState::Applied, "the second call returns the same");
    }
    let results = storage.imports.results(&import, 0, 5_000).await.unwrap();
    assert!(results.len() == 2_500 && results.iter().all(|row| row.outcome == Ok(())));
    for number in [1, 1_000, 1_001, 2_500] {
        let device = load(&storage, &id(number)).await;
        assert_eq!((device.version(), device.details()), (1, &details));
        let events = storage.events.events_of(&DeviceHistory::whole(&id(number))).await.unwrap();
        assert_eq!((events.len(), events[0].at), (1, at(30)));
    }
}

/// All or nothing with a refusal: nothing is created, and the other rows name the first refused row.
pub async fn one_refused_row_refuses_all(storage: Storage) {
    populated(&storage).await;
    let rows = [
        row(1, device(1, 1)),
        row(2, device(2, 1)),
        unread(3, None, RowRefusal::malformed("no row")),
        row(4, device(4, 2)),
    ];
    let import = import(1, own());
    uploaded(&storage, import, ImportMode::AllOrNothing, &rows).await;
    let refusal = RowDecision { number: 2, decision: Err(RowRefusal::UnknownLocation) };
    storage.imports.apply_decisions(&import, &[refusal]).await.unwrap();
    let ended = storage.imports.complete(&import, at(30)).await.unwrap();
    assert_eq!(ended.state, ImportState::Refused { row: 2 });
    let not_imported = || Err(RowRefusal::NotImported { because_of: 2 });
    let expected =
        [not_imported(), Err(RowRefusal::UnknownLocation), Err(RowRefusal::malformed("no row")), not_imported()];
    assert_eq!(outcomes(&storage, &import).await, expected);
    for number in [1, 2, 4] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
}

/// All or nothing with a row that the store refuses after valid rows: nothing is created.
pub async fn a_row_refused_by_the_store_refuses_all(storage: Storage) {
    populated(&storage).await;
    let other_location = till(&storage, 1, 3).await;
    provisioned(&storage, 7).await;
    let misplaced = DeviceDetails { label: None, location_id: Some(other_location) };
    let wrong = [
        (device(7, 1), RowRefusal::Taken),
        (device(8, 3), RowRefusal::UnknownMerchant),
        (ImportedDevice { details: misplaced, ..device(8, 1) }, RowRefusal::UnknownLocation),
    ];
    let twice = import(9, own());
    uploaded(&storage, twice, ImportMode::AllOrNothing, &[row(1, device(1, 1)), row(2, device(1, 2))]).await;
    assert_eq!(storage.imports.complete(&twice, at(30)).await.unwrap().state, ImportState::Refused { row: 2 });
    assert_eq!(storage.devices.find(&id(1)).await.unwrap(), None, "the duplicate is found on completion");
    for (number, (device_of_row_2, refusal)) in (1..).zip(wrong) {
        let rows = [row(1, device(1, 1)), row(2, device_of_row_2), row(3, device(100, 1))];
        let import = import(number, own());
        uploaded(&storage, import, ImportMode::AllOrNothing, &rows).await;
        let ended = storage.imports.complete(&import, at(30)).await.unwrap();
        assert_eq!(ended.state, ImportState::Refused { row: 2 });
        let not_imported = || Err(RowRefusal::NotImported { because_of: 2 });
        assert_eq!(outcomes(&storage, &import).await, [not_imported(), Err(refusal), not_imported()]);
        for number in [1, 8, 100] {
            assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
        }
    }
}

/// A key belongs to the first import finalized with it until that expires; keys of other owners are independent.
pub async fn a_key_is_used_by_one_import(storage: Storage) {
    populated(&storage).await;
    let begun = async |number: u8, owner: Scope| {
        let import = import(number, owner);
        let new = upload(import, ImportMode::BestEffort, Some(key("a")));
        storage.staging.open(&NewImport { expires_at: at(20 + KEEP), ..new }).await.unwrap();
        import
    };
    let (first, second) = (begun(1, own()).await, begun(2, own()).await);
    storage.staging.finalize_upload(&first, &summary(0, 10)).await.unwrap();
    match storage.staging.finalize_upload(&second, &summary(0, 10 + KEEP - 1)).await {
        Err(FinalizeError::Kept(other)) => assert_eq!((other.import, other.fingerprint), (first, Fingerprint([7; 32]))),
        other => panic!("{other:?}"),
    }
    assert_eq!(storage.imports.find(&second).await.unwrap(), None);
    for (number, owner) in [(3, Scope::Operator), (4, Scope::Of(Party::Reseller(reseller(2))))] {
        let other_owners_import = begun(number, owner).await;
        storage.staging.finalize_upload(&other_owners_import, &summary(0, 10)).await.unwrap();
    }
    assert!(storage.staging.find_by_key(own(), &key("a"), at(10 + KEEP)).await.unwrap().is_none());
    storage.staging.finalize_upload(&second, &summary(0, 10 + KEEP)).await.unwrap();
    let stored = storage.staging.find_by_key(own(), &key("a"), at(11 + KEEP)).await.unwrap();
    assert_eq!(stored.map(|stored| stored.import), Some(second));
}

/// An operator imports for any existing merchant and for no other, in both modes.
pub async fn a_row_for_an_unknown_merchant_is_refused(storage: Storage) {
    populated(&storage).await;
    let rows = [row(1, device(1, 4)), row(2, device(2, 9))];
    let single = import(1, Scope::Operator);
    uploaded(&storage, single, ImportMode::BestEffort, &rows).await;
    apply_all_decisions(&storage, &single).await;
    storage.imports.complete(&single, at(30)).await.unwrap();
    assert_eq!(outcomes(&storage, &single).await, [Ok(()), Err(RowRefusal::UnknownMerchant)]);
    let whole = import(2, Scope::Operator);
    uploaded(&storage, whole, ImportMode::AllOrNothing, &[row(1, device(3, 4)), row(2, device(4, 9))]).await;
    let ended = storage.imports.complete(&whole, at(30)).await.unwrap();
    assert_eq!(ended.state, ImportState::Refused { row: 2 });
    assert_eq!(storage.devices.find(&id(3)).await.unwrap(), None);
}

/// Expired imports are removed in small batches, finalized or not; others and the devices are retained.
pub async fn expired_imports_are_removed(storage: Storage) {
    populated(&storage).await;
    let (left, done, fresh) = (import(1, Scope::Operator), import(2, Scope::Operator), import(3, Scope::Operator));
    let new = upload(left, ImportMode::BestEffort, Some(key("a")));
    storage.staging.open(&new).await.unwrap();
    let rows: Vec<_> = (1..=5).map(|number| row(number.into(), device(number, 1))).collect();
    storage.staging.stage(&left, &rows, at(600)).await.unwrap();
    uploaded(&storage, done, ImportMode::BestEffort, &rows[..1]).await;
    apply_all_decisions(&storage, &done).await;
    let later = NewImport { expires_at: at(10 + KEEP + 1), ..upload(fresh, ImportMode::BestEffort, None) };
    storage.staging.open(&later).await.unwrap();
    storage.staging.stage(&fresh, &rows, at(600)).await.unwrap();

    assert_eq!(storage.staging.remove_expired(at(599), 100).await.unwrap(), 0);
    let mut removed = 0;
    loop {
        let some = storage.staging.remove_expired(at(10 + KEEP), 2).await.unwrap();
        assert!(some <= 2);
        removed += some;
        if some == 0 {
            break;
        }
    }
    assert_eq!(removed, 5 + 1 + 1 + 1, "two imports and their rows");
    assert_eq!(storage.imports.find(&done).await.unwrap(), None);
    assert!(storage.staging.finalize_upload(&left, &summary(5, 10)).await.is_err());
    assert!(storage.devices.find(&id(1)).await.unwrap().is_some());
    storage.staging.finalize_upload(&fresh, &summary(5, 10)).await.unwrap();
    assert_eq!(storage.imports.pending_rows(&fresh, 0, 10).await.unwrap().len(), 5);
}
