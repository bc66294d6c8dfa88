//! Tests of device imports: permissions, the order of checks, and progress.

use std::sync::Mutex;

use pos_application::Rules;
use pos_application::fleet::{ImportError, ImportLimits, ImportOrder, Received};
use pos_application::support::Authorization;
use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, RESELLER, TestApp, new_device};
use pos_domain::device::DeviceDetails;
use pos_domain::fleet::{ImportMode, ImportedDevice, RowRefusal};
use pos_domain::shared::{DeviceId, IdempotencyKey, LocationId, MerchantId, Party, RequestContext, Role, UserId};
use pos_domain::tenancy::Member;
use time::Duration;
use uuid::Uuid;

use crate::{in_memory, rules};

const NOWHERE: LocationId = LocationId(Uuid::from_u128(4));

/// A reseller with [`MERCHANT`]. [`OTHER_MERCHANT`] has no reseller and has the device with number 9.
async fn fixture(max_rows: u64) -> TestApp {
    let imports = ImportLimits {
        max_rows,
        upload: Duration::HOUR,
        keep: Duration::DAY,
        max_refused_rows: 1_000_000,
        refusal_window: Duration::HOUR,
    };
    let app = TestApp::scripted(in_memory(), [], &Rules { imports, ..rules() });
    app.add_reseller(RESELLER, "Somebody").await;
    app.add_merchant(MERCHANT, "Somebody", Some(RESELLER)).await;
    app.add_merchant(OTHER_MERCHANT, "Somebody", None).await;
    app.provision(OTHER_MERCHANT, &new_device(Some(DeviceId::from_bits(9)))).await;
    app
}

fn of(party: Party, role: Role) -> Authorization {
    let member = Member { user_id: UserId::parse("rob").unwrap(), party, role };
    Authorization::of(&member, RequestContext::default())
}

fn device(number: u32, merchant_id: MerchantId) -> ImportedDevice {
    ImportedDevice { id: DeviceId::from_bits(number), merchant_id, details: DeviceDetails::default() }
}

fn order(authorization: &Authorization, mode: ImportMode) -> ImportOrder {
    ImportOrder { authorization: authorization.clone(), mode, key: None }
}

async fn received(app: &TestApp, order: ImportOrder, rows: Vec<ImportedDevice>) -> Result<Received, ImportError> {
    let mut upload = app.fleet.import.begin(order).await?;
    for row in rows {
        upload.push(Ok(row)).await?;
    }
    upload.finish("test", [0; 32]).await
}

async fn outcomes(
    app: &TestApp,
    authorization: &Authorization,
    mode: ImportMode,
    rows: Vec<ImportedDevice>,
) -> Vec<Result<(), RowRefusal>> {
    let import = &app.fleet.import;
    let received = received(app, order(authorization, mode), rows).await.unwrap();
    let ended = import.apply(authorization, &received, &|_| {}).await.unwrap();
    import.report(&ended).next_page().await.unwrap().into_iter().map(|row| row.outcome).collect()
}

#[tokio::test]
async fn only_operators_and_resellers_from_role_operator_up_may_import() {
    let app = fixture(10).await;
    let (merchant, reseller) = (Party::Merchant(MERCHANT), Party::Reseller(RESELLER));
    for (authorization, may) in [
        (of(merchant, Role::Admin), false),
        (of(reseller, Role::Viewer), false),
        (of(reseller, Role::Operator), true),
        (of(reseller, Role::Admin), true),
        (Authorization::operator(), true),
    ] {
        let begun = app.fleet.import.begin(order(&authorization, ImportMode::BestEffort)).await;
        assert_eq!(matches!(begun, Err(ImportError::Forbidden)), !may, "{authorization:?}");
        assert_eq!(begun.is_ok(), may, "{authorization:?}");
    }
}

/// A row for another tenant's merchant reveals nothing else, whatever else is wrong with it.
#[tokio::test]
async fn the_merchant_of_a_row_is_checked_first() {
    let app = fixture(10).await;
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
    assert_eq!(outcomes(&app, &reseller, ImportMode::BestEffort, rows).await, expected);
    let taken = outcomes(&app, &reseller, ImportMode::BestEffort, vec![device(9, MERCHANT)]).await;
    assert_eq!(taken, [Err(RowRefusal::Taken)]);
}

#[tokio::test]
async fn an_operator_imports_for_any_existing_merchant() {
    let app = fixture(10).await;
    let unknown = MerchantId(Uuid::from_u128(99));
    let rows = vec![device(1, unknown), device(2, OTHER_MERCHANT)];
    let outcomes = outcomes(&app, &Authorization::operator(), ImportMode::BestEffort, rows).await;
    assert_eq!(outcomes, [Err(RowRefusal::UnknownMerchant), Ok(())]);
    let stored = app.storage.devices.find(&DeviceId::from_bits(2)).await.unwrap().unwrap();
    assert_eq!(stored.merchant_id(), OTHER_MERCHANT);
}

#[tokio::test]
async fn a_row_above_the_limit_ends_the_upload() {
    let app = fixture(2).await;
    let rows = |count| (1..=count).map(|number| device(number, MERCHANT)).collect::<Vec<_>>();
    let best_effort = || order(&Authorization::operator(), ImportMode::BestEffort);
    assert!(matches!(received(&app, best_effort(), rows(3)).await, Err(ImportError::TooManyRows(2))));
    assert!(received(&app, best_effort(), rows(2)).await.is_ok());
}

#[tokio::test]
async fn progress_is_reported_and_a_completed_import_is_not_repeated() {
    let app = fixture(5_000).await;
    let authorization = Authorization::operator();
    let key = Some(IdempotencyKey::parse("k").unwrap());
    for (mode, from) in [(ImportMode::BestEffort, 10), (ImportMode::AllOrNothing, 10_000)] {
        let rows = (from..from + 2_500).map(|number| device(number, MERCHANT)).collect();
        let received = received(&app, order(&authorization, mode), rows).await.unwrap();
        let reported = Mutex::new(Vec::new());
        let progress = |row| reported.lock().unwrap().push(row);
        let ended = app.fleet.import.apply(&authorization, &received, &progress).await.unwrap();
        let repeated = Received { import: ended.clone(), ..received };
        let again = app.fleet.import.apply(&authorization, &repeated, &progress).await.unwrap();
        assert_eq!((ended == again, reported.into_inner().unwrap()), (true, vec![1_000, 2_000, 2_500]));
    }
    let keyed = ImportOrder { key, ..order(&authorization, ImportMode::BestEffort) };
    assert!(!received(&app, keyed.clone(), vec![device(1, MERCHANT)]).await.unwrap().replayed);
    assert!(!app.fleet.import.begin(keyed.clone()).await.unwrap().wants_rows(), "the rows are uploaded");
    assert!(received(&app, keyed, Vec::new()).await.unwrap().replayed, "the digest identifies the file");
}
