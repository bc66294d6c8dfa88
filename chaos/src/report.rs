//! Report of a run as Markdown and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use crate::history::{GRACE, InjectedFault, RECOVERY_LIMIT, Summary};
use crate::model::SECOND;
use crate::options::Options;

/// Prints the report and writes `report.md` and `report.json`. The exit status is 1 if there was a violation.
pub(crate) fn write(summary: &Summary, options: &Options, seed: u64, took: Duration) -> anyhow::Result<ExitCode> {
    let text = markdown(summary, options, seed, took)?;
    let document = json!({
        "seed": seed, "seconds": took.as_secs_f64(), "terminals": options.terminals, "short": options.short,
        "summary": summary,
    });
    std::fs::write(options.output.join("report.json"), format!("{document:#}\n"))?;
    std::fs::write(options.output.join("report.md"), &text)?;
    println!("{text}");
    Ok(if summary.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn markdown(summary: &Summary, options: &Options, seed: u64, took: Duration) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "# Chaos\n")?;
    writeln!(text, "seed {seed}, {:.0} s, {} terminals\n", took.as_secs_f64(), options.terminals)?;
    writeln!(text, "| fault | store | times | longest | slowest recovery | calls that failed | last result |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    let mut kinds: BTreeMap<(&str, &str), Vec<&InjectedFault>> = BTreeMap::new();
    for injected in &summary.faults {
        kinds.entry((injected.scenario, injected.fault)).or_default().push(injected);
    }
    for ((scenario, fault), all) in kinds {
        let longest = |of: fn(&InjectedFault) -> f64| all.iter().map(|injected| of(injected)).fold(0.0, f64::max);
        let (lasted, recovered) = (longest(|injected| injected.lasted), longest(|injected| injected.recovered));
        let failed: u64 = all.iter().map(|injected| injected.failed_calls).sum();
        let result = all.last().map(|injected| injected.result.as_str()).unwrap_or_default();
        let count = all.len();
        writeln!(text, "| {fault} | {scenario} | {count} | {lasted:.1} s | {recovered:.2} s | {failed} | {result} |")?;
    }
    writeln!(text, "\n| call | responses |\n|---|---|")?;
    for (call, responses) in &summary.calls {
        let responses: Vec<_> = responses.iter().map(|(response, count)| format!("{response}: {count}")).collect();
        writeln!(text, "| {call} | {} |", responses.join(", "))?;
    }
    writeln!(text)?;
    for note in &summary.notes {
        writeln!(text, "- {note}")?;
    }
    let (grace, limit, load) = (GRACE / SECOND, RECOVERY_LIMIT.as_secs(), summary.highest_load);
    writeln!(
        text,
        "- Failures were excused until {grace} s after a fault; the limit for recovery was {limit} s; both were \
         extended up to three times while more than two processes waited for each core. The highest load was \
         {load:.1} for each core. A 503 without a fault is attributed to the machine's load while more than three \
         processes wait for each core; a line above reports how many."
    )?;
    let count = summary.violations.len() as u64 + summary.dropped_violations;
    if count == 0 {
        writeln!(text, "\nNo violations.")?;
        return Ok(text);
    }
    writeln!(text, "\n## {count} violations\n")?;
    for violation in &summary.violations {
        writeln!(text, "- at {:.1} s, {}: {}", violation.at, violation.scenario, violation.what)?;
        for line in &violation.recent_calls {
            writeln!(text, "  - {line}")?;
        }
    }
    Ok(text)
}
