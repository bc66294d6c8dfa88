//! `purge` command: deletion of expired rows.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use pos_application::audit::{PurgeOutcome, PurgeStep};

use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, out};
use crate::settings::Settings;
use crate::wiring::AdminUseCases;

/// Maximum row count of a dry run.
const PREVIEW_LIMIT: u32 = 1_000_000;
/// How often a run is restarted because a server holds the purge lock, and the pause before each restart.
const MAX_RESTARTS: u32 = 50;
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Runs `purge`, or a dry run of it.
pub(super) async fn run(settings: &Settings, how: &cli::Purge) -> anyhow::Result<ExitCode> {
    ensure_schema(settings, false).await?;
    let admin = AdminUseCases::open(settings).await?;
    if how.dry_run {
        return preview(&admin, settings).await;
    }
    let mut removed: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut restarts, mut failed) = (0, false);
    let mut run = admin.use_cases.audit.purge.begin();
    while let Some(outcome) = run.next().await {
        match outcome {
            PurgeOutcome::Done(PurgeStep { what, removed: rows }) => {
                let sum = removed.entry(what.as_str()).or_default();
                *sum += rows;
                if rows > 0 {
                    note!("{}: {sum} deleted", what.as_str());
                }
            }
            PurgeOutcome::Busy => {
                restarts += 1;
                anyhow::ensure!(
                    restarts < MAX_RESTARTS,
                    "a server is purging all the time: leave it to that server, or try again later"
                );
                tokio::time::sleep(RESTART_PAUSE).await;
                run = admin.use_cases.audit.purge.begin();
            }
            PurgeOutcome::Failed { what, error } => {
                failed = true;
                note!("{}: {:#}", what.as_str(), anyhow::Error::from(error));
            }
        }
    }
    for (kind, rows) in &removed {
        confirm!("{kind} {rows}")?;
    }
    let rows: u64 = removed.values().sum();
    if failed {
        note!("{rows} rows deleted, but not all expired rows; run it again, it continues from there");
        return Ok(ExitCode::FAILURE);
    }
    note!("{rows} rows deleted; {}", next(settings));
    Ok(ExitCode::SUCCESS)
}

async fn preview(admin: &AdminUseCases, settings: &Settings) -> anyhow::Result<ExitCode> {
    let steps = admin.use_cases.audit.purge.preview(PREVIEW_LIMIT).await?;
    for PurgeStep { what, removed } in &steps {
        let more = if *removed >= PREVIEW_LIMIT.into() { " or more" } else { "" };
        out!("{} {removed}{more}", what.as_str())?;
    }
    if settings.retention.events_keep.is_none() {
        note!("the audit trail is kept for ever (retention.events_keep_days = 0)");
    }
    note!("nothing was deleted; next: pos-server purge");
    Ok(ExitCode::SUCCESS)
}

fn next(settings: &Settings) -> String {
    match settings.retention.every {
        Some(every) => {
            format!("nothing else to do: servers with these settings purge every {} s", every.as_secs())
        }
        None => "servers with these settings never purge: run it again tomorrow, from a timer".into(),
    }
}
