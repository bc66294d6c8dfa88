//! Checks of the idle servers after a scenario: memory, open files, connections in use, and a clean shutdown.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::Client;

use crate::process::Usage;
use crate::scenario::ScenarioContext;

/// How much more memory an idle server may use after the scenario than when warm, in MiB. Allocators retain some of the
/// memory that slow clients and requests waiting for a frozen database took.
const MEMORY_MARGIN: u64 = 48;

/// How many more open files than at start an idle server may have: its connections to the database (10 of the pool, two
/// for each of two workers, one for health checks, two for notifications) and a few to the issuer.
const FILES_MARGIN: usize = 24;

/// How many database sessions a server may have: the connections above.
const SESSIONS: i64 = 17;

/// Memory and open files by server name.
pub(crate) type Usages = BTreeMap<String, Usage>;

pub(crate) async fn usage(context: &ScenarioContext) -> anyhow::Result<Usages> {
    let mut all = Usages::new();
    for replica in &context.replicas {
        all.insert(replica.name.clone(), replica.usage().await?);
    }
    Ok(all)
}

/// Waits until each server is idle, and compares its usage with that at start and when warm.
pub(crate) async fn check(context: &ScenarioContext, before: &Usages, warm: &Usages) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    for replica in &context.replicas {
        let mut in_use = Vec::new();
        let mut usage = None;
        let start = before.get(&replica.name).context("no usage at start")?;
        let warm = warm.get(&replica.name).context("no usage when warm")?;
        // Connections of former clients take a moment to close.
        for _ in 0..50 {
            let text = http.get(format!("{}/metrics", replica.url)).send().await?.text().await?;
            in_use = resources_in_use(&text);
            let now = replica.usage().await?;
            usage = Some(now);
            if in_use.is_empty() && now.files <= start.files + FILES_MARGIN {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let usage = usage.context("no usage")?;
        let history = &context.history;
        for what in in_use {
            history.violation(format!("{} when idle: {what}", replica.name), Vec::new());
        }
        if usage.files > start.files + FILES_MARGIN {
            let what = format!("{}: {} open files when idle, {} at start", replica.name, usage.files, start.files);
            history.violation(what, Vec::new());
        }
        if usage.memory_mib > warm.memory_mib + MEMORY_MARGIN {
            let what =
                format!("{}: {} MiB when idle, {} MiB when warm", replica.name, usage.memory_mib, warm.memory_mib);
            history.violation(what, Vec::new());
        }
        history.note(format!(
            "server {}: {} MiB and {} files at start, {} MiB when warm, {} MiB and {} files when idle; killed {} times",
            replica.name,
            start.memory_mib,
            start.files,
            warm.memory_mib,
            usage.memory_mib,
            usage.files,
            replica.kills()
        ));
    }
    Ok(())
}

/// What is still in use according to the server's gauges, and which gauges are missing.
fn resources_in_use(metrics: &str) -> Vec<String> {
    let gauge = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().parse::<u64>());
        value.and_then(Result::ok)
    };
    let connections = |state: &str| gauge(&format!("pos_storage_connections{{state=\"{state}\"}}"));
    let mut in_use = Vec::new();
    for (what, count) in [("terminals wait", gauge("pos_waiting_terminals ")), ("calls wait", connections("waiting"))] {
        match count {
            None => in_use.push(format!("no metric reports how many {what}")),
            Some(0) => {}
            Some(count) => in_use.push(format!("{count} {what}")),
        }
    }
    match (connections("open"), connections("idle")) {
        (Some(open), Some(idle)) if open == idle => {}
        (open, idle) => in_use.push(format!("of the pool {open:?} connections are open and {idle:?} idle")),
    }
    in_use
}

/// Checks the number and state of the servers' sessions in PostgreSQL.
pub(crate) async fn check_sessions(client: &Client, context: &ScenarioContext) -> anyhow::Result<()> {
    let sql = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%'), \
                      count(*) FILTER (WHERE state = 'active') \
               FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let row = client.query_one(sql, &[]).await?;
    let (all, idle_in_transaction, active): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let most = SESSIONS * i64::try_from(context.replicas.len())?;
    context.history.note(format!("sessions in PostgreSQL when idle: {all} (limit {most})"));
    if all > most || idle_in_transaction > 0 || active > 0 {
        let what = format!(
            "{all} sessions in PostgreSQL when idle (limit {most}), {idle_in_transaction} idle in transaction, \
             {active} active"
        );
        context.history.violation(what, Vec::new());
    }
    Ok(())
}

/// Stops every server with SIGTERM, and reports unclean exits and panics.
pub(crate) async fn stop(context: &ScenarioContext) {
    for replica in &context.replicas {
        if !replica.stop().await {
            let what = format!("{} did not exit cleanly within 20 s of SIGTERM", replica.name);
            context.history.violation(what, Vec::new());
        }
        for line in replica.panics() {
            context.history.violation(format!("{} panicked", replica.name), vec![line]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::resources_in_use;

    #[test]
    fn resources_in_use_and_missing_gauges_are_reported() {
        let metrics = |waiting: u64, idle: u64| {
            format!(
                "# TYPE pos_waiting_terminals gauge\npos_waiting_terminals {waiting}\n\
                 pos_storage_connections{{state=\"idle\"}} {idle}\npos_storage_connections{{state=\"open\"}} 3\n\
                 pos_storage_connections{{state=\"waiting\"}} 0\n"
            )
        };
        assert_eq!(resources_in_use(&metrics(0, 3)), Vec::<String>::new());
        assert_eq!(resources_in_use(&metrics(1, 3)), ["1 terminals wait"]);
        assert_eq!(resources_in_use(&metrics(0, 2)).len(), 1, "one connection of the pool is in use");
        assert_eq!(resources_in_use("").len(), 3);
    }
}
