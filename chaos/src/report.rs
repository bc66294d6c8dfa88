//! What was tried, how often, and what was seen.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::ledger::{Account, GRACE, Made, RECOVERY_LIMIT};
use crate::model::SECOND;
use crate::options::Options;

/// Prints it and writes it as `report.md` and `report.json`; exit status 1 when there was a violation.
pub(crate) fn write(account: &Account, options: &Options, seed: u64, took: Duration) -> anyhow::Result<ExitCode> {
    let text = markdown(account, options, seed, took)?;
    let whole = json!({
        "seed": seed, "seconds": took.as_secs_f64(), "terminals": options.terminals, "short": options.short,
        "account": account,
    });
    std::fs::write(options.output.join("report.json"), format!("{whole:#}\n"))?;
    std::fs::write(options.output.join("report.md"), &text)?;
    println!("{text}");
    Ok(if account.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn markdown(account: &Account, options: &Options, seed: u64, took: Duration) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "# Chaos\n")?;
    writeln!(text, "seed {seed}, {:.0} s, {} terminals\n", took.as_secs_f64(), options.terminals)?;
    writeln!(text, "| fault | store | times | longest | slowest recovery | calls that failed | last seen |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    let mut kinds: BTreeMap<(&str, &str), Vec<&Made>> = BTreeMap::new();
    for made in &account.faults {
        kinds.entry((made.act, made.fault)).or_default().push(made);
    }
    for ((act, fault), made) in kinds {
        let longest = |of: fn(&Made) -> f64| made.iter().map(|made| of(made)).fold(0.0, f64::max);
        let (lasted, recovered) = (longest(|made| made.lasted), longest(|made| made.recovered));
        let felt: u64 = made.iter().map(|made| made.felt).sum();
        let seen = made.last().map(|made| made.seen.as_str()).unwrap_or_default();
        writeln!(text, "| {fault} | {act} | {} | {lasted:.1} s | {recovered:.2} s | {felt} | {seen} |", made.len())?;
    }
    writeln!(text, "\n| call | answers |\n|---|---|")?;
    for (call, answers) in &account.calls {
        let answers: Vec<_> = answers.iter().map(|(answer, count)| format!("{answer}: {count}")).collect();
        writeln!(text, "| {call} | {} |", answers.join(", "))?;
    }
    writeln!(text)?;
    for note in &account.notes {
        writeln!(text, "- {note}")?;
    }
    let (grace, limit, busiest) = (GRACE / SECOND, RECOVERY_LIMIT.as_secs(), account.busiest);
    writeln!(
        text,
        "- Failures were excused until {grace} s after a fault; recovery was allowed {limit} s; both up to three times \
         that while more than two processes waited for each core. The highest load was {busiest:.1} for each core. A \
         503 without a fault is put down to the machine while more than three wait for each core; if any was, a line \
         above says so."
    )?;
    let count = account.violations.len() as u64 + account.more_violations;
    if count == 0 {
        writeln!(text, "\nNo violations.")?;
        return Ok(text);
    }
    writeln!(text, "\n## {count} violations\n")?;
    for violation in &account.violations {
        writeln!(text, "- at {:.1} s, {}: {}", violation.at, violation.act, violation.what)?;
        for line in &violation.history {
            writeln!(text, "  - {line}")?;
        }
    }
    Ok(text)
}
