//! Files of devices: who may, what is looked at first, and what is told on the way.

use std::sync::{Arc, Mutex};

use pos_application::{ImportDevices, ImportError, ImportLimits, ImportOrder, ImportStores, Mandate, Received};
use pos_domain::{
    Act, AuditEvent, AuditKind, CallContext, Device, DeviceDetails, DeviceId, IdempotencyKey, ImportMode,
    ImportedDevice, LocationId, Member, Merchant, MerchantId, Name, Party, Reseller, ResellerId, Role, RowRefusal,
    Scope, Subject, UserId,
};
use pos_port_clock::ManualClock;
use pos_port_storage::{InMemoryStore, Storage};
use time::Duration;
use uuid::Uuid;

use crate::{MERCHANT, OTHER_MERCHANT, START};

const RESELLER: ResellerId = ResellerId(Uuid::from_u128(3));
const NOWHERE: LocationId = LocationId(Uuid::from_u128(4));

struct House {
    storage: Storage,
    import: ImportDevices,
}

/// A reseller that has [`MERCHANT`]; [`OTHER_MERCHANT`] is nobody's and has the device of number 9.
async fn house(max_rows: u64) -> House {
    let storage = Storage::of(Arc::new(InMemoryStore::default()));
    let name = || Name::parse("Somebody").unwrap();
    let told = |subject| AuditEvent::of(AuditKind::MerchantAdded, subject, Act::operator(), START);
    let reseller = Reseller { id: RESELLER, name: name(), created_at: START };
    storage.directory.add_reseller(&reseller, &told(Subject::Reseller(RESELLER))).await.unwrap();
    for (id, of) in [(MERCHANT, Some(RESELLER)), (OTHER_MERCHANT, None)] {
        let merchant = Merchant { id, name: name(), reseller: of, created_at: START };
        storage.directory.add_merchant(&merchant, None, &told(Subject::Merchant(id))).await.unwrap();
    }
    let nine = DeviceId::from_bits(9);
    let nine = Device::provision(nine, OTHER_MERCHANT, DeviceDetails::default(), Act::operator(), START);
    storage.fleet.create(Scope::Operator, &[nine], None).await.unwrap();
    let stores = ImportStores {
        staging: storage.staging.clone(),
        imports: storage.imports.clone(),
        directory: storage.directory.clone(),
        locations: storage.locations.clone(),
        trail: storage.trail.clone(),
    };
    let limits = ImportLimits {
        max_rows,
        upload: Duration::HOUR,
        keep: Duration::DAY,
        max_refused_rows: 1_000_000,
        refusal_window: Duration::HOUR,
    };
    let entropy = Arc::new(pos_port_clock::ScriptedEntropy::default());
    let import = ImportDevices::new(stores, Arc::new(ManualClock::at(START)), entropy, limits);
    House { storage, import }
}

fn of(party: Party, role: Role) -> Mandate {
    let member = Member { user_id: UserId::parse("rob").unwrap(), party, role };
    Mandate::of(&member, CallContext::default())
}

fn device(number: u32, merchant_id: MerchantId) -> ImportedDevice {
    ImportedDevice { id: DeviceId::from_bits(number), merchant_id, details: DeviceDetails::default() }
}

fn order(mandate: &Mandate, mode: ImportMode) -> ImportOrder {
    ImportOrder { mandate: mandate.clone(), mode, key: None }
}

impl House {
    async fn received(&self, order: ImportOrder, rows: Vec<ImportedDevice>) -> Result<Received, ImportError> {
        let mut upload = self.import.begin(order).await?;
        for row in rows {
            upload.push(Ok(row)).await?;
        }
        upload.finish("test", [0; 32]).await
    }

    async fn outcomes(
        &self,
        mandate: &Mandate,
        mode: ImportMode,
        rows: Vec<ImportedDevice>,
    ) -> Vec<Result<(), RowRefusal>> {
        let received = self.received(order(mandate, mode), rows).await.unwrap();
        let ended = self.import.apply(mandate, &received, &|_| {}).await.unwrap();
        self.import.report(&ended).next_page().await.unwrap().into_iter().map(|row| row.outcome).collect()
    }
}

#[tokio::test]
async fn resellers_from_operators_up_import_and_nobody_else() {
    let house = house(10).await;
    let (merchant, reseller) = (Party::Merchant(MERCHANT), Party::Reseller(RESELLER));
    for (mandate, may) in [
        (of(merchant, Role::Admin), false),
        (of(reseller, Role::Viewer), false),
        (of(reseller, Role::Operator), true),
        (of(reseller, Role::Admin), true),
        (Mandate::operator(), true),
    ] {
        let begun = house.import.begin(order(&mandate, ImportMode::BestEffort)).await;
        assert_eq!(matches!(begun, Err(ImportError::Forbidden)), !may, "{mandate:?}");
        assert_eq!(begun.is_ok(), may, "{mandate:?}");
    }
}

/// A row for a stranger's merchant tells nothing else, whatever else is wrong with it.
#[tokio::test]
async fn the_merchant_is_looked_at_first() {
    let house = house(10).await;
    let misplaced = |number, merchant| ImportedDevice {
        details: DeviceDetails { label: None, location_id: Some(NOWHERE) },
        ..device(number, merchant)
    };
    let rows = vec![
        device(1, MERCHANT),
        misplaced(9, OTHER_MERCHANT),
        misplaced(1, MERCHANT),
        device(1, MERCHANT),
        device(9, MERCHANT),
        device(9, MERCHANT),
    ];
    let reseller = of(Party::Reseller(RESELLER), Role::Operator);
    let expected = [
        Ok(()),
        Err(RowRefusal::UnknownMerchant),
        Err(RowRefusal::UnknownLocation),
        Err(RowRefusal::Duplicate { of: 1 }),
        Err(RowRefusal::Duplicate { of: 2 }),
        Err(RowRefusal::Duplicate { of: 2 }),
    ];
    assert_eq!(house.outcomes(&reseller, ImportMode::BestEffort, rows).await, expected);
    let taken = house.outcomes(&reseller, ImportMode::BestEffort, vec![device(9, MERCHANT)]).await;
    assert_eq!(taken, [Err(RowRefusal::Taken)]);
}

#[tokio::test]
async fn an_operator_imports_for_any_merchant_that_is_there() {
    let house = house(10).await;
    let unknown = MerchantId(Uuid::from_u128(99));
    let rows = vec![device(1, unknown), device(2, OTHER_MERCHANT)];
    let outcomes = house.outcomes(&Mandate::operator(), ImportMode::BestEffort, rows).await;
    assert_eq!(outcomes, [Err(RowRefusal::UnknownMerchant), Ok(())]);
    let stored = house.storage.devices.find(&DeviceId::from_bits(2)).await.unwrap().unwrap();
    assert_eq!(stored.merchant_id(), OTHER_MERCHANT);
}

#[tokio::test]
async fn one_row_too_many_ends_the_upload() {
    let house = house(2).await;
    let rows = |count| (1..=count).map(|number| device(number, MERCHANT)).collect::<Vec<_>>();
    let best_effort = || order(&Mandate::operator(), ImportMode::BestEffort);
    assert!(matches!(house.received(best_effort(), rows(3)).await, Err(ImportError::TooManyRows(2))));
    assert!(house.received(best_effort(), rows(2)).await.is_ok());
}

#[tokio::test]
async fn progress_is_told_and_what_has_ended_is_not_done_again() {
    let house = house(5_000).await;
    let mandate = Mandate::operator();
    let key = Some(IdempotencyKey::parse("k").unwrap());
    for (mode, from) in [(ImportMode::BestEffort, 10), (ImportMode::AllOrNothing, 10_000)] {
        let rows = (from..from + 2_500).map(|number| device(number, MERCHANT)).collect();
        let received = house.received(order(&mandate, mode), rows).await.unwrap();
        let told = Mutex::new(Vec::new());
        let note = |row| told.lock().unwrap().push(row);
        let ended = house.import.apply(&mandate, &received, &note).await.unwrap();
        let again = house.import.apply(&mandate, &Received { import: ended.clone(), ..received }, &note).await.unwrap();
        assert_eq!((ended == again, told.into_inner().unwrap()), (true, vec![1_000, 2_000, 2_500]));
    }
    let keyed = ImportOrder { key, ..order(&mandate, ImportMode::BestEffort) };
    assert!(!house.received(keyed.clone(), vec![device(1, MERCHANT)]).await.unwrap().replayed);
    assert!(!house.import.begin(keyed.clone()).await.unwrap().wants_rows(), "the rows are there");
    assert!(house.received(keyed, Vec::new()).await.unwrap().replayed, "the digest alone says which file it is");
}
