//! Fake repository: the failure counter of client secrets, in a map.
//!
//! `cargo run -p pos-application --example fake_repository`. `docs/extending.md` includes the code between the markers.

mod support;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pos_application::tenancy::StartClientSessionError;
use pos_domain::shared::{AttemptLimit, FailureWindow, RequestContext, TraceId};
use pos_port_storage::shared::StorageError;
use pos_port_storage::tenancy::ClientFailureRepository;
use pos_port_storage::{InMemoryStore, Storage};
use secrecy::SecretString;
use time::OffsetDateTime;

// example:begin
/// Failure windows by subject. The lock makes `record` atomic, as the trait requires.
#[derive(Default)]
struct FakeClientFailures(Mutex<HashMap<String, FailureWindow>>);

#[async_trait]
impl ClientFailureRepository for FakeClientFailures {
    async fn window(&self, subject: &str) -> Result<Option<FailureWindow>, StorageError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).copied())
    }

    async fn record(
        &self,
        subject: &str,
        limit: &AttemptLimit,
        now: OffsetDateTime,
    ) -> Result<FailureWindow, StorageError> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = limit.count(windows.get(subject).copied(), now);
        windows.insert(subject.to_owned(), window);
        Ok(window)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let failures = Arc::new(FakeClientFailures::default());
    let storage = Storage { client_failures: failures.clone(), ..Storage::of(Arc::new(InMemoryStore::default())) };
    let sessions = support::use_cases(storage).sessions;
    let wrong = SecretString::from("wrong");
    for attempt in 1..=4 {
        let context = RequestContext { client_ip: None, trace_id: TraceId::from_bits(attempt) };
        let refused = sessions.client.execute("unknown-client", &wrong, context).await;
        let too_many = matches!(refused, Err(StartClientSessionError::TooManyFailures(_)));
        assert_eq!(too_many, attempt > 3, "the limit is three: {refused:?}");
    }
    let window = failures.window("address:unknown").await?;
    assert_eq!(window.map(|window| window.failures), Some(3), "a refused attempt above the limit is not counted");
    Ok(())
}
// example:end

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
