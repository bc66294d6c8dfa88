//! Interrupted imports: the caller disconnects, or the server stops while it applies the rows.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use pos_application::Rules;
use pos_application::fleet::{ImportError, ImportFormat, ImportOrder};
use pos_application::support::Authorization;
use pos_application::test_support::RESELLER;
use pos_domain::fleet::ImportMode;
use pos_domain::shared::{DeviceId, IdempotencyKey, Party, RequestContext, Role, TraceId};
use pos_domain::tenancy::Member;
use pos_port_storage::Storage;
use pos_port_storage::fleet::{Import, ImportRef, ImportRepository, PendingRow, RowDecision, RowResult};
use pos_port_storage::shared::StorageError;
use pos_tests::server::{MERCHANT, send};
use pos_tests::stores::TestStore;
use time::{Duration, OffsetDateTime};

use super::fixture::{CSV, ImportFixture, PATH, csv, import_on, on_both_engines, report, request, user};

on_both_engines!(
    an_incomplete_upload_imports_nothing_and_frees_the_key,
    an_import_that_stopped_between_batches_is_resumed,
    an_import_that_stopped_before_completion_is_resumed,
);

/// Most rows are staged, the last one never arrives: nothing is imported, and the key can be used again.
async fn an_incomplete_upload_imports_nothing_and_frees_the_key(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 3_000, MERCHANT);
    let mut connection = TcpStream::connect(fixture.server.url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "POST {PATH}?mode=best_effort HTTP/1.1\r\nHost: pos\r\nAuthorization: Bearer rob\r\nContent-Type: text/csv\r\n\
         Idempotency-Key: k\r\nContent-Length: {}\r\n\r\n",
        file.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(&file.as_bytes()[..file.len() - 40]).unwrap();
    drop(connection);
    let other =
        report(send(request(&fixture.server, "", CSV, csv(9_000, 1, MERCHANT)).header("Idempotency-Key", "k")).await);
    assert_eq!((other.replayed, other.results()), (false, vec!["provisioned"]));
    let ids: Vec<_> = fixture.devices().await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["POS-00002328"]);
}

/// An import repository that fails after this many batches of decisions, and always when the import is to be completed.
struct FailingImports {
    inner: Arc<dyn ImportRepository>,
    decisions: AtomicU32,
}

fn stopped_error() -> StorageError {
    StorageError::Unavailable("the server stops here".into())
}

#[async_trait]
impl ImportRepository for FailingImports {
    async fn find(&self, import: &ImportRef) -> Result<Option<Import>, StorageError> {
        self.inner.find(import).await
    }

    async fn pending_rows(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<PendingRow>, StorageError> {
        self.inner.pending_rows(import, after, limit).await
    }

    async fn apply_decisions(&self, import: &ImportRef, decisions: &[RowDecision]) -> Result<(), StorageError> {
        if self.decisions.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(stopped_error());
        }
        self.inner.apply_decisions(import, decisions).await
    }

    async fn complete(&self, _: &ImportRef, _: OffsetDateTime) -> Result<Import, StorageError> {
        Err(stopped_error())
    }

    async fn results(&self, import: &ImportRef, after: u64, limit: u32) -> Result<Vec<RowResult>, StorageError> {
        self.inner.results(import, after, limit).await
    }
}

/// Imports a file with the key `k` on a server that stops after this many batches.
async fn stop_after(fixture: &ImportFixture, batches: u32, mode: ImportMode, file: &str) {
    let imports = FailingImports { inner: fixture.app.storage.imports.clone(), decisions: AtomicU32::new(batches) };
    let storage = Storage { imports: Arc::new(imports), ..fixture.app.storage.clone() };
    let import = import_on(storage, fixture.app.clock.clone(), &Rules::for_tests());
    let rob = Member { user_id: user("rob"), party: Party::Reseller(RESELLER), role: Role::Operator };
    let authorization = Authorization::of(&rob, RequestContext { client_ip: None, trace_id: TraceId::from_bits(7) });
    let key = Some(IdempotencyKey::parse("k").unwrap());
    let order = ImportOrder { authorization: authorization.clone(), mode, key };
    let mut receiver = import.receive(order, ImportFormat::Csv).await.unwrap();
    receiver.feed(file.as_bytes()).await.unwrap();
    let received = receiver.finish().await.unwrap();
    let outcome = import.apply(&authorization, &received, &|_| {}).await;
    assert!(matches!(outcome, Err(ImportError::Storage(StorageError::Unavailable(_)))), "{outcome:?}");
}

async fn an_import_that_stopped_between_batches_is_resumed(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    let file = csv(1, 3_500, MERCHANT);
    stop_after(&fixture, 2, ImportMode::BestEffort, &file).await;
    assert_eq!(fixture.devices().await.len(), 2_000);
    let replica = fixture.replica().await;
    let resumed = report(send(request(&replica, "?mode=best_effort", CSV, file).header("Idempotency-Key", "k")).await);
    assert_eq!((resumed.replayed, resumed.results()), (true, vec!["provisioned"; 3_500]));
    assert_eq!(fixture.devices().await.len(), 3_500);
    let first_call = TraceId::from_bits(7);
    for number in [1, 3_500] {
        let events = fixture.app.device_events(&DeviceId::from_bits(number)).await;
        assert_eq!(
            (events.len(), events[0].audit_context.trace_id),
            (1, first_call),
            "the trace id of the first request"
        );
    }
}

async fn an_import_that_stopped_before_completion_is_resumed(store: TestStore) {
    let fixture = ImportFixture::on(store).await;
    for (from, refused) in [(1, false), (10_000, true)] {
        let mut file = csv(from, 1_500, MERCHANT);
        if refused {
            file.push_str("pos-1,shop\n");
        }
        // The key of the previous round has expired by then.
        fixture.app.clock.advance(Duration::seconds(86_400));
        fixture.log_in().await;
        stop_after(&fixture, 9, ImportMode::AllOrNothing, &file).await;
        let before = fixture.devices().await.len();
        let resumed = report(send(request(&fixture.server, "", CSV, file).header("Idempotency-Key", "k")).await);
        assert!(resumed.replayed);
        let result = if refused { "not_imported" } else { "provisioned" };
        assert_eq!(resumed.results()[..1_500], vec![result; 1_500]);
        assert_eq!(fixture.devices().await.len(), before + if refused { 0 } else { 1_500 });
    }
}
