use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use pos_application::{ReclaimOutcome, ReclaimStep};

use super::migrate::ensure_schema;
use crate::cli;
use crate::output::{confirm, note, say};
use crate::settings::Settings;
use crate::wiring::Back;

/// How far a preview counts.
const COUNTED: u32 = 1_000_000;
/// How often a round is begun again because a server is in a batch at that very moment, and after which pause.
const TURNS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(200);

/// `reclaim`: one round, or what it would do.
pub(super) async fn run(settings: &Settings, how: &cli::Reclaim) -> anyhow::Result<ExitCode> {
    ensure_schema(settings, false).await?;
    let back = Back::open(settings).await?;
    if how.dry_run {
        return preview(&back, settings).await;
    }
    let mut removed: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut turns, mut failed) = (0, false);
    let mut round = back.reclaim.begin();
    while let Some(outcome) = round.next().await {
        match outcome {
            ReclaimOutcome::Done(ReclaimStep { what, removed: rows }) => {
                let sum = removed.entry(what.as_str()).or_default();
                *sum += rows;
                if rows > 0 {
                    note!("{}: {sum} removed", what.as_str());
                }
            }
            ReclaimOutcome::Elsewhere => {
                turns += 1;
                anyhow::ensure!(
                    turns < TURNS,
                    "a server has been removing rows all the time: leave it to that server, or try again later"
                );
                tokio::time::sleep(PAUSE).await;
                round = back.reclaim.begin();
            }
            ReclaimOutcome::Failed { what, error } => {
                failed = true;
                note!("{}: {:#}", what.as_str(), anyhow::Error::from(error));
            }
        }
    }
    for (sort, rows) in &removed {
        confirm!("{sort} {rows}")?;
    }
    let rows: u64 = removed.values().sum();
    if failed {
        note!("{rows} rows removed, but not all that are over; run it again: what was removed is done");
        return Ok(ExitCode::FAILURE);
    }
    note!("{rows} rows removed; {}", next(settings));
    Ok(ExitCode::SUCCESS)
}

async fn preview(back: &Back, settings: &Settings) -> anyhow::Result<ExitCode> {
    let steps = back.reclaim.preview(COUNTED).await?;
    for ReclaimStep { what, removed } in &steps {
        let more = if *removed >= COUNTED.into() { " or more" } else { "" };
        say!("{} {removed}{more}", what.as_str())?;
    }
    if settings.reclaim.events_keep.is_none() {
        note!("the audit trail is kept for ever (reclaim.events_keep_days = 0)");
    }
    note!("nothing was removed; next: pos-server reclaim");
    Ok(ExitCode::SUCCESS)
}

fn next(settings: &Settings) -> String {
    match settings.reclaim.every {
        Some(every) => {
            format!("nothing else to do: servers with these settings look again every {} s", every.as_secs())
        }
        None => "servers with these settings never do this by themselves: run it again tomorrow, from a timer".into(),
    }
}
