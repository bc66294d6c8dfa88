//! Imports that are cut short: by a caller that goes away, or in the middle of being applied.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use pos_adapters::clock::SystemEntropy;
use pos_adapters::import::{ImportFormat, Receiver};
use pos_application::{ImportDevices, ImportError, ImportLimits, ImportOrder, ImportStores, Mandate};
use pos_domain::{CallContext, IdempotencyKey, ImportMode, Member, Party, Role, TraceId};
use pos_port_storage::{Import, ImportRef, ImportRepository, RowResult, RowVerdict, StorageError, UndecidedRow};
use pos_tests::server::{MERCHANT, send};
use pos_tests::stores::TestStore;
use time::{Duration, OffsetDateTime};

use super::world::{CSV, PATH, RESELLER, World, call, csv, on_both_engines, report, user};

on_both_engines!(
    a_caller_that_goes_away_leaves_nothing,
    a_server_that_stops_between_batches_is_gone_on_from,
    a_server_that_stops_before_the_end_is_gone_on_from,
);

/// The rows are staged, the last of them never comes, and nothing is imported or keeps the key.
async fn a_caller_that_goes_away_leaves_nothing(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 3_000, MERCHANT);
    let mut connection = TcpStream::connect(world.server.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST {PATH}?mode=best_effort HTTP/1.1\r\nHost: pos\r\nAuthorization: Bearer rob\r\nContent-Type: text/csv\r\n\
         Idempotency-Key: k\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&file.as_bytes()[..file.len() - 40]).unwrap();
    drop(connection);
    let other =
        report(send(call(&world.server, "", CSV, csv(9_000, 1, MERCHANT)).header("Idempotency-Key", "k")).await);
    assert_eq!((other.replayed, other.words()), (false, vec!["provisioned"]));
    let ids: Vec<_> = world.devices().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["POS-00002328"]);
}

/// A store that stops answering after so many decisions; `u32::MAX` conclusions never come.
struct Stopping {
    inner: Arc<dyn ImportRepository>,
    decisions: AtomicU32,
}

fn stopped() -> StorageError {
    StorageError::Unavailable("the server is stopped here".into())
}

#[async_trait]
impl ImportRepository for Stopping {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        self.inner.find(import).await
    }

    async fn undecided(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<UndecidedRow>, StorageError> {
        self.inner.undecided(import, after, limit).await
    }

    async fn decide(&self, import: &ImportRef, verdicts: &[RowVerdict]) -> Result<(), StorageError> {
        if self.decisions.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(stopped());
        }
        self.inner.decide(import, verdicts).await
    }

    async fn conclude(&self, _: &ImportRef, _: OffsetDateTime) -> Result<Import, StorageError> {
        Err(stopped())
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        self.inner.results(import, after, limit).await
    }
}

/// Sends a file under the key `k` on a server that stops after so many batches.
async fn stop_after(world: &World, batches: u32, mode: ImportMode, file: &str) {
    let imports = Stopping { inner: world.storage.imports.clone(), decisions: AtomicU32::new(batches) };
    let stores = ImportStores {
        staging: world.storage.staging.clone(),
        imports: Arc::new(imports),
        directory: world.storage.directory.clone(),
        locations: world.storage.locations.clone(),
        trail: world.storage.trail.clone(),
    };
    let limits = ImportLimits {
        max_rows: 10_000,
        upload: Duration::HOUR,
        keep: Duration::DAY,
        max_refused_rows: 1_000_000,
        refusal_window: Duration::HOUR,
    };
    let import = ImportDevices::new(stores, world.clock.clone(), Arc::new(SystemEntropy), limits);
    let rob = Member { user_id: user("rob"), party: Party::Reseller(RESELLER), role: Role::Operator };
    let mandate = Mandate::of(&rob, CallContext { origin: None, trace_id: TraceId::from_bits(7) });
    let key = Some(IdempotencyKey::parse("k").unwrap());
    let upload = import.begin(ImportOrder { mandate: mandate.clone(), mode, key }).await.unwrap();
    let mut receiver = Receiver::new(ImportFormat::Csv, 10_000, upload);
    receiver.feed(file.as_bytes()).await.unwrap();
    let received = receiver.finish().await.unwrap();
    let cut = import.apply(&mandate, &received, &|_| {}).await;
    assert!(matches!(cut, Err(ImportError::Storage(StorageError::Unavailable(_)))), "{cut:?}");
}

async fn a_server_that_stops_between_batches_is_gone_on_from(store: TestStore) {
    let world = World::on(store).await;
    let file = csv(1, 3_500, MERCHANT);
    stop_after(&world, 2, ImportMode::BestEffort, &file).await;
    assert_eq!(world.devices().await.len(), 2_000);
    let replica = world.replica().await;
    let whole = report(send(call(&replica, "?mode=best_effort", CSV, file).header("Idempotency-Key", "k")).await);
    assert_eq!((whole.replayed, whole.words()), (true, vec!["provisioned"; 3_500]));
    assert_eq!(world.devices().await.len(), 3_500);
    let first_call = TraceId::from_bits(7);
    for number in [1, 3_500] {
        let history = pos_port_storage::History::whole(&pos_domain::DeviceId::from_bits(number));
        let events = world.storage.events.events_of(&history).await.unwrap();
        assert_eq!((events.len(), events[0].act.trace_id), (1, first_call), "all by the call that brought the file");
    }
}

async fn a_server_that_stops_before_the_end_is_gone_on_from(store: TestStore) {
    let world = World::on(store).await;
    for (from, refused) in [(1, false), (10_000, true)] {
        let mut file = csv(from, 1_500, MERCHANT);
        if refused {
            file.push_str("pos-1,shop\n");
        }
        // Its key of before is over by then.
        world.clock.advance(Duration::seconds(86_400));
        world.log_in().await;
        stop_after(&world, 9, ImportMode::AllOrNothing, &file).await;
        let before = world.devices().await.len();
        let whole = report(send(call(&world.server, "", CSV, file).header("Idempotency-Key", "k")).await);
        assert!(whole.replayed);
        let word = if refused { "not_imported" } else { "provisioned" };
        assert_eq!(whole.words()[..1_500], vec![word; 1_500]);
        assert_eq!(world.devices().await.len(), before + if refused { 0 } else { 1_500 });
    }
}
