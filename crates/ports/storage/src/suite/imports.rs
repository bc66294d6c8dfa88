//! Imports: rows are staged, sealed, decided about once, and told of.

use pos_domain::{AuditEvent, AuditKind, Subject};
use pos_domain::{
    DeviceDetails, DeviceId, Fingerprint, IdempotencyKey, ImportId, ImportMode, ImportedDevice, Location, LocationId,
    Name, Party, RowRefusal, Scope,
};

use super::fixtures::{at, context, found, id, merchant, provisioned, user};
use super::tenancy::{populated, reseller};
use crate::{
    History, ImportRef, ImportState, NewImport, RowResult, RowVerdict, Seal, SealError, StagedRow, Storage,
    StorageError, UnreadRow,
};

pub(super) const KEEP: i64 = 86_400;

pub(super) fn own() -> Scope {
    Scope::Of(Party::Reseller(reseller(1)))
}

pub(super) fn import(number: u8, owner: Scope) -> ImportRef {
    let text = format!("0c0c0c0c-0000-4000-8000-0000000000{number:02x}");
    ImportRef { id: ImportId(text.parse().unwrap()), owner }
}

pub(super) fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

pub(super) fn upload(import: ImportRef, mode: ImportMode, key: Option<IdempotencyKey>) -> NewImport {
    let act = context().by(pos_domain::Actor::User(user("rob")));
    NewImport { import, mode, act, key, created_at: at(0), keep_until: at(600) }
}

pub(super) fn device(number: u32, of: u8) -> ImportedDevice {
    ImportedDevice { id: id(number), merchant_id: merchant(of), details: DeviceDetails::default() }
}

pub(super) fn row(number: u64, device: ImportedDevice) -> StagedRow {
    StagedRow { number, read: Ok(device) }
}

fn unread(number: u64, device: Option<DeviceId>, refusal: RowRefusal) -> StagedRow {
    StagedRow { number, read: Err(UnreadRow { device_id: device, refusal }) }
}

pub(super) fn seal(rows: u64, seconds: i64) -> Seal {
    Seal { fingerprint: Fingerprint([7; 32]), rows, at: at(seconds), keep_until: at(seconds + KEEP) }
}

/// An import of these rows, sealed in the tenth second.
pub(super) async fn sealed(storage: &Storage, import: ImportRef, mode: ImportMode, rows: &[StagedRow]) {
    storage.staging.open(&upload(import, mode, None)).await.unwrap();
    storage.staging.stage(&import, rows, at(600)).await.unwrap();
    storage.staging.seal(&import, &seal(rows.len() as u64, 10)).await.unwrap();
}

/// Decides as the use case would: earlier and taken ones are refused, the others created.
async fn decided(storage: &Storage, import: &ImportRef, after: u64, limit: u32) -> Option<u64> {
    let rows = storage.imports.undecided(import, after, limit).await.unwrap();
    let last = rows.last()?.number;
    let verdicts: Vec<_> = rows
        .into_iter()
        .map(|row| RowVerdict {
            number: row.number,
            verdict: match row.earlier {
                Some(of) => Err(RowRefusal::Duplicate { of }),
                None => Ok(row.device.provision(upload(*import, ImportMode::BestEffort, None).act, at(20))),
            },
        })
        .collect();
    storage.imports.decide(import, &verdicts).await.unwrap();
    Some(last)
}

pub(super) async fn all_decided(storage: &Storage, import: &ImportRef) {
    let mut after = 0;
    while let Some(last) = decided(storage, import, after, 3).await {
        after = last;
    }
}

pub(super) async fn outcomes(storage: &Storage, import: &ImportRef) -> Vec<Result<(), RowRefusal>> {
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
    let told = AuditEvent::of(AuditKind::LocationAdded, Subject::Location(id), pos_domain::Act::operator(), at(0));
    storage.locations.add_location(Scope::Operator, &location, None, &told).await.unwrap();
    id
}

/// Rows come back as they were staged, in order and page by page; nobody sees them before the seal, or for another.
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
    assert_eq!(storage.imports.undecided(&import, 0, 10).await.unwrap(), []);
    assert_eq!(storage.staging.find_by_key(own(), &key("a"), at(1)).await.unwrap(), None);

    let kept = storage.staging.seal(&import, &seal(4, 10)).await.unwrap();
    assert_eq!((kept.import, kept.mode, &kept.act), (import, ImportMode::BestEffort, &new.act));
    assert_eq!((kept.fingerprint, kept.rows, kept.state), (Fingerprint([7; 32]), 4, ImportState::Sealed));
    assert_eq!(storage.imports.find(&import).await.unwrap(), Some(kept.clone()));
    assert_eq!(storage.staging.find_by_key(own(), &key("a"), at(11)).await.unwrap(), Some(kept));
    let undecided = storage.imports.undecided(&import, 0, 10).await.unwrap();
    let seen: Vec<_> = undecided.iter().map(|row| (row.number, row.device.clone(), row.earlier, row.taken)).collect();
    let expected = [(1, device(1, 1), None, false), (3, labelled, None, false), (4, device(1, 2), Some(1), false)];
    assert_eq!(seen, expected);
    assert_eq!(storage.imports.undecided(&import, 1, 1).await.unwrap(), undecided[1..2]);
    for owner in [Scope::Operator, Scope::Of(Party::Reseller(reseller(2))), Scope::Of(Party::Merchant(merchant(1)))] {
        let strangers = ImportRef { owner, ..import };
        assert_eq!(storage.imports.find(&strangers).await.unwrap(), None);
        assert_eq!(storage.imports.undecided(&strangers, 0, 10).await.unwrap(), []);
        assert_eq!(storage.imports.results(&strangers, 0, 10).await.unwrap(), []);
        assert_eq!(storage.staging.find_by_key(owner, &key("a"), at(11)).await.unwrap(), None);
        assert!(storage.staging.stage(&strangers, &[row(5, device(5, 1))], at(600)).await.is_err());
        assert!(matches!(storage.imports.conclude(&strangers, at(12)).await, Err(StorageError::Fault(_))));
    }
}

fn uuid<T: std::str::FromStr>(number: u8) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("0a0a0a0a-0000-4000-8000-0000000000{number:02x}").parse().unwrap()
}

/// What was sealed takes no rows any more, and no row comes twice.
pub async fn rows_are_staged_before_the_seal_and_once(storage: Storage) {
    let import = import(1, Scope::Operator);
    storage.staging.open(&upload(import, ImportMode::BestEffort, None)).await.unwrap();
    storage.staging.stage(&import, &[row(1, device(1, 1))], at(600)).await.unwrap();
    let twice = storage.staging.stage(&import, &[row(2, device(2, 1)), row(1, device(3, 1))], at(600)).await;
    assert!(matches!(twice, Err(StorageError::Fault(_))), "{twice:?}");
    storage.staging.seal(&import, &seal(1, 10)).await.unwrap();
    assert_eq!(storage.imports.undecided(&import, 0, 10).await.unwrap().len(), 1, "all rows of a call or none");
    assert!(storage.staging.stage(&import, &[row(2, device(2, 1))], at(600)).await.is_err());
    assert!(matches!(storage.staging.seal(&import, &seal(1, 10)).await, Err(SealError::Storage(_))));
    assert!(
        storage
            .staging
            .stage(&super::imports::import(2, Scope::Operator), &[row(1, device(1, 1))], at(600))
            .await
            .is_err()
    );
}

/// Each row for itself: what can be created is, with its event and what is kept of it, and every other says why not.
pub async fn each_row_has_its_own_outcome(storage: Storage) {
    populated(&storage).await;
    let (theirs, elsewhere) = (till(&storage, 1, 1).await, till(&storage, 2, 2).await);
    provisioned(&storage, 9).await;
    let at_till = |number, location| ImportedDevice {
        details: DeviceDetails { label: Some(Name::parse("Bar").unwrap()), location_id: Some(location) },
        ..device(number, 1)
    };
    let rows = [
        row(1, device(1, 1)),
        row(2, at_till(2, theirs)),
        unread(3, Some(id(3)), RowRefusal::InvalidLabel),
        row(4, at_till(4, elsewhere)),
        row(5, device(5, 3)),
        row(6, device(1, 2)),
        row(7, device(9, 1)),
    ];
    let import = import(1, own());
    sealed(&storage, import, ImportMode::BestEffort, &rows).await;
    assert!(storage.imports.undecided(&import, 6, 10).await.unwrap()[0].taken);
    all_decided(&storage, &import).await;
    assert_eq!(storage.imports.undecided(&import, 0, 10).await.unwrap(), []);
    let ended = storage.imports.conclude(&import, at(30)).await.unwrap();
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
    let second = found(&storage, &id(2)).await;
    assert_eq!((second.version(), second.details().location_id), (1, Some(theirs)));
    assert_eq!(second.details().label.as_ref().map(Name::as_str), Some("Bar"));
    let events = storage.events.events_of(&History::whole(&id(2))).await.unwrap();
    let asked = upload(import, ImportMode::BestEffort, None);
    assert_eq!((events.len(), &events[0].act, events[0].at), (1, &asked.act, at(20)));
    let mut check = pos_domain::ChainCheck::of(&second);
    check.see(&events[0]);
    assert_eq!(check.finish(), (0, Vec::new()));
    for number in [3, 4, 5] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
    assert_eq!(found(&storage, &id(9)).await.merchant_id(), merchant(1));
}

/// All or nothing, and nothing is wrong: all at once, by the act of whoever sent it.
pub async fn all_rows_become_devices_at_the_end(storage: Storage) {
    populated(&storage).await;
    let till = till(&storage, 1, 2).await;
    let details = DeviceDetails { label: None, location_id: Some(till) };
    let rows: Vec<_> = (1..=2_500_u32)
        .rev()
        .zip(1..)
        .map(|(number, place)| row(place, ImportedDevice { details: details.clone(), ..device(number, 2) }))
        .collect();
    let import = import(1, own());
    sealed(&storage, import, ImportMode::AllOrNothing, &rows).await;
    for _ in 0..2 {
        let ended = storage.imports.conclude(&import, at(30)).await.unwrap();
        assert_eq!(ended.state, ImportState::Applied, "the second time it is as it is");
    }
    let told = storage.imports.results(&import, 0, 5_000).await.unwrap();
    assert!(told.len() == 2_500 && told.iter().all(|row| row.outcome == Ok(())));
    for number in [1, 1_000, 1_001, 2_500] {
        let device = found(&storage, &id(number)).await;
        assert_eq!((device.version(), device.details()), (1, &details));
        let events = storage.events.events_of(&History::whole(&id(number))).await.unwrap();
        assert_eq!((events.len(), events[0].at), (1, at(30)));
    }
}

/// All or nothing, and something is wrong: nothing is created, and the other rows name the first that was refused.
pub async fn one_refused_row_refuses_all(storage: Storage) {
    populated(&storage).await;
    let rows = [
        row(1, device(1, 1)),
        row(2, device(2, 1)),
        unread(3, None, RowRefusal::malformed("no row")),
        row(4, device(4, 2)),
    ];
    let import = import(1, own());
    sealed(&storage, import, ImportMode::AllOrNothing, &rows).await;
    let refusal = RowVerdict { number: 2, verdict: Err(RowRefusal::UnknownLocation) };
    storage.imports.decide(&import, &[refusal]).await.unwrap();
    let ended = storage.imports.conclude(&import, at(30)).await.unwrap();
    assert_eq!(ended.state, ImportState::Refused { row: 2 });
    let not_imported = || Err(RowRefusal::NotImported { because_of: 2 });
    let expected =
        [not_imported(), Err(RowRefusal::UnknownLocation), Err(RowRefusal::malformed("no row")), not_imported()];
    assert_eq!(outcomes(&storage, &import).await, expected);
    for number in [1, 2, 4] {
        assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
    }
}

/// All or nothing, and the store itself finds what is wrong, after rows that were fine: nothing is created.
pub async fn what_the_store_refuses_refuses_all(storage: Storage) {
    populated(&storage).await;
    let elsewhere = till(&storage, 1, 3).await;
    provisioned(&storage, 7).await;
    let misplaced = DeviceDetails { label: None, location_id: Some(elsewhere) };
    let wrong = [
        (device(7, 1), RowRefusal::Taken),
        (device(8, 3), RowRefusal::UnknownMerchant),
        (ImportedDevice { details: misplaced, ..device(8, 1) }, RowRefusal::UnknownLocation),
    ];
    let twice = import(9, own());
    sealed(&storage, twice, ImportMode::AllOrNothing, &[row(1, device(1, 1)), row(2, device(1, 2))]).await;
    assert_eq!(storage.imports.conclude(&twice, at(30)).await.unwrap().state, ImportState::Refused { row: 2 });
    assert_eq!(storage.devices.find(&id(1)).await.unwrap(), None, "nobody looked for the same id before");
    for (number, (device_of_row_2, refusal)) in (1..).zip(wrong) {
        let rows = [row(1, device(1, 1)), row(2, device_of_row_2), row(3, device(100, 1))];
        let import = import(number, own());
        sealed(&storage, import, ImportMode::AllOrNothing, &rows).await;
        let ended = storage.imports.conclude(&import, at(30)).await.unwrap();
        assert_eq!(ended.state, ImportState::Refused { row: 2 });
        let not_imported = || Err(RowRefusal::NotImported { because_of: 2 });
        assert_eq!(outcomes(&storage, &import).await, [not_imported(), Err(refusal), not_imported()]);
        for number in [1, 8, 100] {
            assert_eq!(storage.devices.find(&id(number)).await.unwrap(), None);
        }
    }
}

/// A key is kept by the first that is sealed with it, until its time is over; another owner's is another key.
pub async fn a_key_is_kept_by_one_import(storage: Storage) {
    populated(&storage).await;
    let begun = async |number: u8, owner: Scope| {
        let import = import(number, owner);
        let new = upload(import, ImportMode::BestEffort, Some(key("a")));
        storage.staging.open(&NewImport { keep_until: at(20 + KEEP), ..new }).await.unwrap();
        import
    };
    let (first, second) = (begun(1, own()).await, begun(2, own()).await);
    storage.staging.seal(&first, &seal(0, 10)).await.unwrap();
    match storage.staging.seal(&second, &seal(0, 10 + KEEP - 1)).await {
        Err(SealError::Kept(kept)) => assert_eq!((kept.import, kept.fingerprint), (first, Fingerprint([7; 32]))),
        other => panic!("{other:?}"),
    }
    assert_eq!(storage.imports.find(&second).await.unwrap(), None);
    for (number, owner) in [(3, Scope::Operator), (4, Scope::Of(Party::Reseller(reseller(2))))] {
        let theirs = begun(number, owner).await;
        storage.staging.seal(&theirs, &seal(0, 10)).await.unwrap();
    }
    assert!(storage.staging.find_by_key(own(), &key("a"), at(10 + KEEP)).await.unwrap().is_none());
    storage.staging.seal(&second, &seal(0, 10 + KEEP)).await.unwrap();
    let kept = storage.staging.find_by_key(own(), &key("a"), at(11 + KEEP)).await.unwrap();
    assert_eq!(kept.map(|kept| kept.import), Some(second));
}

/// An operator imports for any merchant that is there, and for no other: alone and all together.
pub async fn a_row_for_nobody_is_refused(storage: Storage) {
    populated(&storage).await;
    let rows = [row(1, device(1, 4)), row(2, device(2, 9))];
    let single = import(1, Scope::Operator);
    sealed(&storage, single, ImportMode::BestEffort, &rows).await;
    all_decided(&storage, &single).await;
    storage.imports.conclude(&single, at(30)).await.unwrap();
    assert_eq!(outcomes(&storage, &single).await, [Ok(()), Err(RowRefusal::UnknownMerchant)]);
    let whole = import(2, Scope::Operator);
    sealed(&storage, whole, ImportMode::AllOrNothing, &[row(1, device(3, 4)), row(2, device(4, 9))]).await;
    let ended = storage.imports.conclude(&whole, at(30)).await.unwrap();
    assert_eq!(ended.state, ImportState::Refused { row: 2 });
    assert_eq!(storage.devices.find(&id(3)).await.unwrap(), None);
}

/// What is over goes in small pieces, sealed or not; what is not stays, and so do the devices.
pub async fn imports_that_are_over_are_removed(storage: Storage) {
    populated(&storage).await;
    let (left, done, fresh) = (import(1, Scope::Operator), import(2, Scope::Operator), import(3, Scope::Operator));
    let new = upload(left, ImportMode::BestEffort, Some(key("a")));
    storage.staging.open(&new).await.unwrap();
    let rows: Vec<_> = (1..=5).map(|number| row(number.into(), device(number, 1))).collect();
    storage.staging.stage(&left, &rows, at(600)).await.unwrap();
    sealed(&storage, done, ImportMode::BestEffort, &rows[..1]).await;
    all_decided(&storage, &done).await;
    let later = NewImport { keep_until: at(10 + KEEP + 1), ..upload(fresh, ImportMode::BestEffort, None) };
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
    assert!(storage.staging.seal(&left, &seal(5, 10)).await.is_err());
    assert!(storage.devices.find(&id(1)).await.unwrap().is_some());
    storage.staging.seal(&fresh, &seal(5, 10)).await.unwrap();
    assert_eq!(storage.imports.undecided(&fresh, 0, 10).await.unwrap().len(), 5);
}
