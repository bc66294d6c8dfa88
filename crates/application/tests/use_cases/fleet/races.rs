//! Tests of concurrent requests.

use super::*;

/// Runs `call` concurrently for every caller, each in its own task.
async fn concurrently<T, F>(app: &Arc<TestApp>, call: impl Fn(Arc<TestApp>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..32).map(|caller| tokio::spawn(call(app.clone(), caller))).collect();
    let mut idempotency = Vec::new();
    for task in tasks {
        idempotency.push(task.await.unwrap());
    }
    idempotency
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_identical_concurrent_requests_one_creates() {
    let app = fleet([]).await;
    let idempotency = concurrently(&app, |app, _| async move {
        app.fleet.provision.one_encoded(&own(Role::Operator), &new_device(None), keyed(&app, "k", b"a")).await.unwrap()
    })
    .await;
    let made: Vec<&String> = idempotency
        .iter()
        .filter_map(|answer| match answer {
            EncodedResponse::New(body) => Some(body),
            EncodedResponse::Replayed(_) => None,
        })
        .collect();
    assert_eq!(made.len(), 1);
    assert!(idempotency.iter().all(|answer| match answer {
        EncodedResponse::New(_) => true,
        EncodedResponse::Replayed(text) => text == made[0],
    }));
    let listed = app.fleet.queries.list(&own(Role::Viewer), DeviceFilter::default(), None, 100).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_releases_transfers_and_decommissions_exactly_one_succeeds_each() {
    let app = fleet([]).await;
    let id = claimed(&app, 1).await;
    let released = concurrently(&app, |app, _| {
        let id = id.clone();
        async move { app.fleet.release.execute(&own(Role::Operator), &id).await.is_ok() }
    });
    assert_eq!(released.await.iter().filter(|ok| **ok).count(), 1);
    let moved = concurrently(&app, |app, _| {
        let id = id.clone();
        async move {
            let parent = parent(&app, Role::Operator, MERCHANT).await;
            app.fleet.transfer.execute(&parent, &id, SISTER).await.is_ok()
        }
    });
    assert_eq!(moved.await.iter().filter(|ok| **ok).count(), 1);
    let out = concurrently(&app, |app, _| {
        let id = id.clone();
        async move { app.fleet.decommission.execute(&member(SISTER, Role::Admin), &id).await.is_ok() }
    });
    assert_eq!(out.await.iter().filter(|ok| **ok).count(), 1);
    use DeviceEventKind::{Decommissioned, Released, Transferred};
    assert_eq!(app.event_kinds(&id).await[3..], [Released, Transferred, Decommissioned]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_equal_concurrent_updates_one_records_an_event_and_of_different_ones_each() {
    let app = fleet([]).await;
    let id = device(&app, 1).await;
    let same = concurrently(&app, |app, _| {
        let id = id.clone();
        async move { app.fleet.update.execute(&own(Role::Operator), &id, &labelled("Till")).await.is_ok() }
    });
    assert!(same.await.iter().all(|ok| *ok));
    assert_eq!(app.event_kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Updated]);
    let each = concurrently(&app, |app, caller| {
        let id = id.clone();
        async move {
            app.fleet.update.execute(&own(Role::Operator), &id, &labelled(&format!("Till {caller}"))).await.is_ok()
        }
    });
    assert!(each.await.iter().all(|ok| *ok));
    assert_eq!(app.event_kinds(&id).await.len(), 2 + 32);
}
