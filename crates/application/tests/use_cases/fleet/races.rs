//! Many at once.

use super::*;

/// Runs `call` for every caller at once, each on a task of its own.
async fn at_once<T, F>(fleet: &Arc<Fleet>, call: impl Fn(Arc<Fleet>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..32).map(|caller| tokio::spawn(call(fleet.clone(), caller))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_identical_calls_one_creates() {
    let fleet = Fleet::new([]).await;
    let answers = at_once(&fleet, |fleet, _| async move {
        fleet.provision.one(&own(Role::Operator), &new(None), Some(fleet.keyed("k", b"a"))).await.unwrap()
    })
    .await;
    let made: Vec<&Device> = answers
        .iter()
        .filter_map(|answer| match answer {
            Created::Now(device) => Some(device),
            Created::Before(_) => None,
        })
        .collect();
    assert_eq!(made.len(), 1);
    let told = format!("{:?}", made[0]);
    assert!(answers.iter().all(|answer| match answer {
        Created::Now(_) => true,
        Created::Before(text) => *text == told,
    }));
    let listed = fleet.view.list(&own(Role::Viewer), DeviceFilter::default(), None, 100).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_one_releases_moves_decommissions() {
    let fleet = Fleet::new([]).await;
    let id = fleet.claimed(1).await;
    let released = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.release.execute(&own(Role::Operator), &id).await.is_ok() }
    });
    assert_eq!(released.await.iter().filter(|ok| **ok).count(), 1);
    let moved = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move {
            let parent = fleet.parent(Role::Operator, MERCHANT).await;
            fleet.relocate.execute(&parent, &id, SISTER).await.is_ok()
        }
    });
    assert_eq!(moved.await.iter().filter(|ok| **ok).count(), 1);
    let out = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.decommission.execute(&member(Party::Merchant(SISTER), Role::Admin), &id).await.is_ok() }
    });
    assert_eq!(out.await.iter().filter(|ok| **ok).count(), 1);
    use DeviceEventKind::{Decommissioned, Moved, Released};
    assert_eq!(fleet.kinds(&id).await[3..], [Released, Moved, Decommissioned]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_equal_amendments_one_leaves_an_event_and_of_many_different_each() {
    let fleet = Fleet::new([]).await;
    let id = fleet.device(1).await;
    let same = at_once(&fleet, |fleet, _| {
        let id = id.clone();
        async move { fleet.amend.execute(&own(Role::Operator), &id, &labelled("Till")).await.is_ok() }
    });
    assert!(same.await.iter().all(|ok| *ok));
    assert_eq!(fleet.kinds(&id).await, [DeviceEventKind::Provisioned, DeviceEventKind::Amended]);
    let each = at_once(&fleet, |fleet, caller| {
        let id = id.clone();
        async move { fleet.amend.execute(&own(Role::Operator), &id, &labelled(&format!("Till {caller}"))).await.is_ok() }
    });
    assert!(each.await.iter().all(|ok| *ok));
    assert_eq!(fleet.kinds(&id).await.len(), 2 + 32);
}
