//! Stalled log: a server whose log pipe is not read for a while.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::history::ScenarioHistory;
use crate::replica::Replica;

/// Number of requests for an unknown path, which log one line each: more than twice the capacity of a pipe.
const REQUESTS: usize = 400;
const CONCURRENCY: usize = 8;

/// Stops reading the log, sends requests that are logged, and resumes. Every request and the health check must succeed.
pub(crate) async fn stall(replica: &Replica, lasting: Duration, history: &ScenarioHistory) -> anyhow::Result<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
    let until = Instant::now() + lasting;
    replica.stall_log(true);
    let (http, url) = (&http, format!("{}/nope", replica.url));
    let send = async |count: usize| {
        let mut answered = 0;
        for _ in 0..count {
            let response = http.get(&url).send().await;
            answered += usize::from(response.is_ok_and(|response| response.status().as_u16() == 404));
        }
        answered
    };
    let answered: usize = join_all((0..CONCURRENCY).map(|_| send(REQUESTS / CONCURRENCY))).await.into_iter().sum();
    let live = http.get(format!("{}/health/live", replica.url)).send().await;
    sleep_until(until).await;
    replica.stall_log(false);
    if answered < REQUESTS || !live.is_ok_and(|response| response.status().is_success()) {
        let what = format!("{} answered {answered} of {REQUESTS} requests while its log was not read", replica.name);
        history.violation(what, Vec::new());
    }
    Ok(format!("{answered} of {REQUESTS} requests answered by {} meanwhile", replica.name))
}
