//! Fixture of the import tests: two resellers with merchants and users, and import files.

use std::sync::Arc;

use pos_adapters::clock::SystemEntropy;
use pos_adapters::import::DeviceFiles;
use pos_adapters::storage::OpenedStorage;
use pos_application::fleet::ImportDevices;
use pos_application::test_support::{OTHER_RESELLER, RESELLER, SISTER, TestApp, named};
use pos_application::{Ports, Rules, UseCases};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{AuditContext, LocationId, MerchantId, Party, Role, Scope, UserId};
use pos_domain::tenancy::Location;
use pos_port_clock::ManualClock;
use pos_port_identity::{FixedVerifier, Principal};
use pos_port_storage::Storage;
use pos_port_storage::fleet::DevicePage;
use pos_tests::app::app_at;
use pos_tests::server::{Answer, MERCHANT, OTHER_MERCHANT, Options, START, TestServer, send};
use pos_tests::stores::TestStore;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) const PATH: &str = "/reseller/devices/import";
pub(super) const CSV: &str = "text/csv";
pub(super) const JSON_LINES: &str = "application/x-ndjson";
/// A location of [`MERCHANT`].
pub(super) const TILL: LocationId = LocationId(Uuid::from_u128(0xaaaa));
/// A location of [`SISTER`].
pub(super) const SECOND_TILL: LocationId = LocationId(Uuid::from_u128(0xbbbb));

/// The users: `rob` and `vera` (a viewer) of the first reseller, `zoe` of the other, `ann` of [`MERCHANT`]. The access
/// token is the user's name. `sid` has a token and no session.
fn users() -> [(&'static str, Option<(Party, Role)>); 5] {
    [
        ("rob", Some((Party::Reseller(RESELLER), Role::Operator))),
        ("vera", Some((Party::Reseller(RESELLER), Role::Viewer))),
        ("zoe", Some((Party::Reseller(OTHER_RESELLER), Role::Admin))),
        ("ann", Some((Party::Merchant(MERCHANT), Role::Admin))),
        ("sid", None),
    ]
}

pub(super) struct ImportFixture {
    pub(super) app: TestApp,
    pub(super) store: TestStore,
    pub(super) server: TestServer,
}

pub(super) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn verifier() -> FixedVerifier {
    FixedVerifier::new(users().map(|(name, membership)| {
        let party = membership.map(|(party, _)| party);
        let mut principal = Principal::fixed(user(name), party.and_then(Party::merchant));
        principal.reseller_id = party.and_then(Party::reseller);
        (name.to_owned(), principal)
    }))
}

impl ImportFixture {
    pub(super) async fn on(store: TestStore) -> Self {
        Self::with(store, Vec::new()).await
    }

    pub(super) async fn with(store: TestStore, settings: Vec<(&'static str, String)>) -> Self {
        let app = app_at(&store.opened().storage, &Arc::new(ManualClock::at(START)));
        populate(&app).await;
        let server = serve(store.opened(), &app.clock, settings);
        let fixture = Self { app, store, server };
        fixture.log_in().await;
        fixture
    }

    /// Initiates the session of each user, again if it has ended.
    pub(super) async fn log_in(&self) {
        for (name, membership) in users() {
            if membership.is_some() {
                let body = json!({ "host": "reseller.viopay.io" });
                let request = self.server.request(Method::POST, "/session/initiate").bearer_auth(name).json(&body);
                assert_eq!(send(request).await.status, 200, "{name}");
            }
        }
    }

    /// Another replica, with its own connection pool.
    pub(super) async fn replica(&self) -> TestServer {
        serve(&self.store.reopened().await, &self.app.clock, Vec::new())
    }

    pub(super) async fn import(&self, query: &str, media_type: &str, file: impl Into<Vec<u8>>) -> Report {
        report(send(request(&self.server, query, media_type, file)).await)
    }

    /// The ids of all devices and their merchants.
    pub(super) async fn devices(&self) -> Vec<(String, MerchantId)> {
        let page = DevicePage::first(Scope::Operator, 100_000);
        let all = self.app.storage.fleet.list(&page).await.unwrap();
        all.iter().map(|device| (device.id().to_string(), device.merchant_id())).collect()
    }
}

fn serve(opened: &OpenedStorage, clock: &Arc<ManualClock>, settings: Vec<(&'static str, String)>) -> TestServer {
    let options = Options {
        verifier: Arc::new(verifier()),
        clock: clock.clone(),
        settings,
        seed_users: false,
        ..Options::default()
    };
    TestServer::start(opened, options)
}

async fn populate(app: &TestApp) {
    for id in [RESELLER, OTHER_RESELLER] {
        app.add_reseller(id, "Northern Terminals").await;
    }
    for (id, reseller) in [(MERCHANT, RESELLER), (SISTER, RESELLER), (OTHER_MERCHANT, OTHER_RESELLER)] {
        app.add_merchant(id, "Shop", Some(reseller)).await;
    }
    for (id, merchant_id) in [(TILL, MERCHANT), (SECOND_TILL, SISTER)] {
        let location = Location { id, merchant_id, name: named("Till"), created_at: START };
        let event = AuditEvent::of(AuditKind::LocationAdded, Subject::Location(id), AuditContext::operator(), START);
        app.storage.locations.add_location(Scope::Operator, &location, None, &event).await.unwrap();
    }
    for (name, membership) in users() {
        if let Some((party, role)) = membership {
            app.add_member(name, party, role).await;
        }
    }
}

/// The use case of the server, on another store.
pub(super) fn import_on(storage: Storage, clock: Arc<ManualClock>, rules: &Rules) -> ImportDevices {
    let ports =
        Ports { import_files: Arc::new(DeviceFiles), ..Ports::for_tests(storage, clock, Arc::new(SystemEntropy)) };
    UseCases::new(&ports, rules).fleet.import
}

/// An import request of `rob`.
pub(super) fn request(server: &TestServer, query: &str, media_type: &str, file: impl Into<Vec<u8>>) -> RequestBuilder {
    request_by("rob", server, query, media_type, file)
}

/// An import request of the given user.
pub(super) fn request_by(
    user: &str,
    server: &TestServer,
    query: &str,
    media_type: &str,
    file: impl Into<Vec<u8>>,
) -> RequestBuilder {
    let request = server.request(Method::POST, &format!("{PATH}{query}")).bearer_auth(user);
    request.header("Content-Type", media_type).body(file.into())
}

/// The report of an import.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    pub(super) rows: Vec<Value>,
    pub(super) totals: Value,
    pub(super) replayed: bool,
}

/// Parses a response that must be a complete report.
pub(super) fn report(answer: Answer) -> Report {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(JSON_LINES)), "{answer:?}");
    assert_eq!(answer.header("x-trace-id").map(str::len), Some(32));
    let mut rows: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let totals = rows.pop().expect("a last line");
    assert!(totals.get("row").is_none(), "the last line has the totals: {totals}");
    let numbers = rows.iter().map(|row| row["row"].as_u64().unwrap());
    assert!(numbers.eq(1..=rows.len() as u64), "every row once, in order");
    let counted = |result: &str| rows.iter().filter(|row| row["result"] == result).count();
    let expected = json!({"rows": rows.len(), "provisioned": counted("provisioned"), "refused": counted("refused")});
    assert_eq!(totals, expected);
    let replayed = answer.header("idempotency-replayed") == Some("true");
    Report { rows, totals, replayed }
}

impl Report {
    /// The result of each row: `provisioned`, or the reason.
    pub(super) fn results(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row["reason"].as_str().or(row["result"].as_str()).unwrap()).collect()
    }
}

/// A CSV file of `count` devices of a merchant, with ids from `from`.
pub(super) fn csv(from: u32, count: u32, merchant: MerchantId) -> String {
    let lines = (from..from + count).map(|number| format!("POS-{number:08X},{merchant}\n"));
    std::iter::once("device_id,merchant_id\n".to_owned()).chain(lines).collect()
}

/// Runs each case as a test on each engine.
macro_rules! on_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(pos_tests::stores::TestStore::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(pos_tests::stores::TestStore::postgres().await).await;
            })+
        }
    };
}

pub(super) use on_both_engines;
