//! A server whose log nobody reads for a while.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};

use crate::ledger::Ledger;
use crate::replica::Replica;

/// Refused requests, a line of the log each: more than twice what a pipe holds.
const REFUSED: usize = 400;
const AT_ONCE: usize = 8;

/// Stops reading, has requests refused meanwhile, and reads on. Every request and the health check must be answered.
pub(crate) async fn stall(replica: &Replica, lasting: Duration, ledger: &Ledger) -> anyhow::Result<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
    let until = Instant::now() + lasting;
    replica.stall_log(true);
    let (http, url) = (&http, format!("{}/nope", replica.url));
    let refuse = async |count: usize| {
        let mut refused = 0;
        for _ in 0..count {
            let answer = http.get(&url).send().await;
            refused += usize::from(answer.is_ok_and(|answer| answer.status().as_u16() == 404));
        }
        refused
    };
    let refused: usize = join_all((0..AT_ONCE).map(|_| refuse(REFUSED / AT_ONCE))).await.into_iter().sum();
    let live = http.get(format!("{}/health/live", replica.url)).send().await;
    sleep_until(until).await;
    replica.stall_log(false);
    if refused < REFUSED || !live.is_ok_and(|answer| answer.status().is_success()) {
        let what = format!("{} answered {refused} of {REFUSED} requests while nobody read its log", replica.name);
        ledger.violation(what, Vec::new());
    }
    Ok(format!("{refused} of {REFUSED} requests refused by {} meanwhile", replica.name))
}
