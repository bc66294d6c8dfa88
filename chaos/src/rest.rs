//! What is left when everybody has gone home: nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::Client;

use crate::act::Stage;
use crate::process::Usage;

/// How much more memory than warm and busy a server may have at rest after all of it, in MiB. Allocators keep some of
/// what the slow clients and the pile-ups behind a frozen database took.
const MEMORY_MARGIN: u64 = 48;

/// How many more files than at its start a server may have open at rest: its connections to the database (10 of the
/// pool, two for each of two workers, one for health checks, two for notifications) and a few of the issuer's.
const FILES_MARGIN: usize = 24;

/// How many sessions a server may have at the database: those connections.
const SESSIONS: i64 = 17;

/// What each server takes, by its name.
pub(crate) type Usages = BTreeMap<String, Usage>;

pub(crate) async fn usage(stage: &Stage) -> anyhow::Result<Usages> {
    let mut all = Usages::new();
    for replica in &stage.replicas {
        all.insert(replica.name.clone(), replica.usage().await?);
    }
    Ok(all)
}

/// Looks at each server once it has come to rest.
pub(crate) async fn check(stage: &Stage, before: &Usages, warm: &Usages) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    for replica in &stage.replicas {
        let mut left = Vec::new();
        let mut usage = None;
        let (start, warm) = (before.get(&replica.name).context("no start")?, warm.get(&replica.name).context("no")?);
        // Connections of clients that are gone take a moment to end.
        for _ in 0..50 {
            let text = http.get(format!("{}/metrics", replica.url)).send().await?.text().await?;
            left = in_use(&text);
            let now = replica.usage().await?;
            usage = Some(now);
            if left.is_empty() && now.files <= start.files + FILES_MARGIN {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let usage = usage.context("no usage")?;
        let ledger = &stage.ledger;
        for what in left {
            ledger.violation(format!("{} at rest: {what}", replica.name), Vec::new());
        }
        if usage.files > start.files + FILES_MARGIN {
            let what = format!("{}: {} open files at rest, {} at its start", replica.name, usage.files, start.files);
            ledger.violation(what, Vec::new());
        }
        if usage.memory_mib > warm.memory_mib + MEMORY_MARGIN {
            let what = format!("{}: {} MiB at rest, {} MiB when warm", replica.name, usage.memory_mib, warm.memory_mib);
            ledger.violation(what, Vec::new());
        }
        ledger.note(format!(
            "server {}: {} MiB and {} files at its start, {} MiB warm, {} MiB and {} files at rest; killed {} times",
            replica.name,
            start.memory_mib,
            start.files,
            warm.memory_mib,
            usage.memory_mib,
            usage.files,
            replica.deaths()
        ));
    }
    Ok(())
}

/// What is in use by the gauges of a server, or not told by them.
fn in_use(metrics: &str) -> Vec<String> {
    let gauge = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().parse::<u64>());
        value.and_then(Result::ok)
    };
    let connections = |state: &str| gauge(&format!("pos_storage_connections{{state=\"{state}\"}}"));
    let mut left = Vec::new();
    for (what, count) in [("terminals wait", gauge("pos_waiting_terminals ")), ("calls wait", connections("waiting"))] {
        match count {
            None => left.push(format!("no metric tells how many {what}")),
            Some(0) => {}
            Some(count) => left.push(format!("{count} {what}")),
        }
    }
    match (connections("open"), connections("idle")) {
        (Some(open), Some(idle)) if open == idle => {}
        (open, idle) => left.push(format!("of the pool {open:?} connections are open and {idle:?} idle")),
    }
    left
}

/// Looks at the servers' sessions in PostgreSQL.
pub(crate) async fn sessions(client: &Client, stage: &Stage) -> anyhow::Result<()> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%'), \
                      count(*) FILTER (WHERE state = 'active') \
               FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let row = client.query_one(sql, &[]).await?;
    let (all, idle_in_transaction, active): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let most = SESSIONS * i64::try_from(stage.replicas.len())?;
    stage.ledger.note(format!("sessions in PostgreSQL at rest: {all} (at most {most} are well)"));
    if all > most || idle_in_transaction > 0 || active > 0 {
        let what = format!(
            "at rest {all} sessions in PostgreSQL (at most {most} are well), {idle_in_transaction} idle in transaction, \
             {active} active"
        );
        stage.ledger.violation(what, Vec::new());
    }
    Ok(())
}

/// Stops every server as at the end of the day.
pub(crate) async fn stop(stage: &Stage) {
    for replica in &stage.replicas {
        if !replica.stop().await {
            stage.ledger.violation(format!("{} did not end well within 20 s of SIGTERM", replica.name), Vec::new());
        }
        for line in replica.panics() {
            stage.ledger.violation(format!("{} panicked", replica.name), vec![line]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::in_use;

    #[test]
    fn what_is_in_use_or_not_told_is_seen() {
        let told = |waiting: u64, idle: u64| {
            format!(
                "# TYPE pos_waiting_terminals gauge\npos_waiting_terminals {waiting}\n\
                 pos_storage_connections{{state=\"idle\"}} {idle}\npos_storage_connections{{state=\"open\"}} 3\n\
                 pos_storage_connections{{state=\"waiting\"}} 0\n"
            )
        };
        assert_eq!(in_use(&told(0, 3)), Vec::<String>::new());
        assert_eq!(in_use(&told(1, 3)), ["1 terminals wait"]);
        assert_eq!(in_use(&told(0, 2)).len(), 1, "one of the pool's connections is gone");
        assert_eq!(in_use("").len(), 3);
    }
}
