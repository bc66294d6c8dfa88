//! Markdown tables of a run's results, for the documentation.
//!
//! A pair of comments, `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, marks the place of a table in a file. The text
//! between them is replaced.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;

use crate::connection_matrix::{Cell, Column};
use crate::machine::Memory;
use crate::measurement::{Measurement, Spread};
use crate::options::Table;
use crate::overload::OverloadRow;
use crate::report::{RATIOS, Row};
use crate::results::Results;
use crate::targets::evaluate;

/// The names of the tables in the markers.
const NAMES: [&str; 6] = ["machine", "targets", "rates", "grid", "peers", "overload"];

/// Writes the tables to standard output or into files. A table that was not completely measured is not replaced.
pub(crate) fn write(options: &Table) -> anyhow::Result<()> {
    let results = Results::read(&options.from)?;
    if options.into.is_empty() {
        for name in NAMES {
            println!("{}\n", section(&results, name)?.unwrap_or_else(|| format!("{name}: not completely measured")));
        }
    }
    for file in &options.into {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Filled { text, replaced, unchanged } = fill(&text, &results)?;
        anyhow::ensure!(replaced.len() + unchanged.len() > 0, "{} has no markers", file.display());
        fs::write(file, text)?;
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let (replaced, unchanged) = (list(&replaced), list(&unchanged));
        println!("{}: replaced: {replaced}; not completely measured, unchanged: {unchanged}", file.display());
    }
    Ok(())
}

/// A file's text with the tables of a run.
struct Filled {
    text: String,
    replaced: Vec<&'static str>,
    /// The marked tables that were not completely measured.
    unchanged: Vec<&'static str>,
}

fn fill(text: &str, results: &Results) -> anyhow::Result<Filled> {
    let mut filled = Filled { text: text.to_owned(), replaced: Vec::new(), unchanged: Vec::new() };
    for name in NAMES {
        let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
        let Some((before, rest)) = filled.text.split_once(&begin) else { continue };
        let (_, after) = rest.split_once(&end).with_context(|| format!("{begin} has no end marker"))?;
        let Some(section) = section(results, name)? else {
            filled.unchanged.push(name);
            continue;
        };
        filled.text = format!("{before}{begin}\n{section}\n{end}{after}");
        filled.replaced.push(name);
    }
    Ok(filled)
}

/// A table; `None` if it was not completely measured, because a table must be of one run. The lines about the machine
/// belong to the targets.
fn section(results: &Results, name: &str) -> anyhow::Result<Option<String>> {
    let evaluated = evaluate(results).iter().all(|result| result.is_met().is_some());
    let (measured, table): (bool, fn(&Results) -> anyhow::Result<String>) = match name {
        "machine" => (evaluated, |results| Ok(format!("```\n{}\n```", results.machine.join("\n")))),
        "targets" => (evaluated, targets),
        "rates" => (Row::ALL.into_iter().all(|row| results.report.of(row).next().is_some()), rates),
        "grid" => (!results.connection_matrix.0.is_empty(), connection_matrix),
        "peers" => (!results.peers.is_empty(), peers),
        "overload" => (!results.overload.is_empty(), overload),
        other => anyhow::bail!("there is no table {other}"),
    };
    measured.then(|| Ok(table(results)?.trim_end().to_owned())).transpose()
}

fn targets(results: &Results) -> anyhow::Result<String> {
    let mut text = "| | target | median | each | |\n|---|---|---|---|---|\n".to_owned();
    for result in evaluate(results) {
        let (target, median) = (result.format_target(), result.format_median());
        let (values, outcome) = (result.format_values(), result.outcome());
        writeln!(text, "| {} | {target} | {median} | {values} | {outcome} |", result.name)?;
    }
    Ok(text)
}

fn rates(results: &Results) -> anyhow::Result<String> {
    let mut text = "| | a second | least – most | p50 ms | p99 ms | cpu µs | peak MiB |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in Row::ALL {
        let of = |number: &dyn Fn(&Measurement) -> Option<f64>| Spread::of(results.report.of(row).filter_map(number));
        let Some(rate) = of(&|measurement| Some(measurement.per_second())) else { continue };
        let p50 = of(&|measurement| Some(measurement.latency?.p50.as_secs_f64() * 1e3));
        let peak = of(&|measurement| Some(measurement.memory?.peak as f64 / 1_024.0)).map(|spread| spread.most);
        writeln!(
            text,
            "| {} | {:.0} | {:.0} – {:.0} | {} | {} | {} | {} |",
            row.name(),
            rate.median,
            rate.least,
            rate.most,
            number(p50.map(|spread| spread.median), 2),
            number(of(&Measurement::p99_millis).map(|spread| spread.median), 2),
            number(of(&Measurement::cpu_micros).map(|spread| spread.median), 1),
            number(peak, 1)
        )?;
    }
    text.push_str("\n| ratio | median | least – most |\n|---|---|---|\n");
    for (ours, theirs) in RATIOS {
        if let Some(ratio) = results.report.ratio((ours, theirs)) {
            let (ours, theirs) = (ours.name(), theirs.name());
            writeln!(text, "| {ours} / {theirs} | {:.3} | {:.3} – {:.3} |", ratio.median, ratio.least, ratio.most)?;
        }
    }
    Ok(text)
}

/// A line for each number of connections: medians of the rate, of its ratio to the baseline handler's, and of the p99.
fn connection_matrix(results: &Results) -> anyhow::Result<String> {
    let matrix = &results.connection_matrix;
    let (devices, connections) = matrix.sizes();
    let mut text = String::new();
    for (batched, name) in [(true, "batching on (default)"), (false, "batching off")] {
        let column = |devices| if batched { Column::Batched { devices } } else { Column::Unbatched { devices } };
        let measured = |at: u32| devices.iter().any(|count| matrix.of(column(*count), at).next().is_some());
        let rows: Vec<u32> = connections.iter().copied().filter(|at| measured(*at)).collect();
        if rows.is_empty() {
            continue;
        }
        write!(text, "| {name}: connections |")?;
        for count in &devices {
            write!(text, " {count} devices |")?;
        }
        writeln!(text, "\n|---|{}", "---|".repeat(devices.len()))?;
        for at in rows {
            write!(text, "| {at} |")?;
            for column in devices.iter().copied().map(column) {
                let Some(rate) = matrix.median(column, at, |measurement| Some(measurement.per_second())) else {
                    write!(text, " – |")?;
                    continue;
                };
                let of_baseline = number(matrix.relative_to_baseline(column, at), 3);
                let p99 = number(matrix.median(column, at, Measurement::p99_millis), 2);
                write!(text, " {rate:.0} a second, {of_baseline} of baseline, p99 {p99} ms |")?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        let ours = |cell: &&Cell| devices.iter().any(|count| cell.column == column(*count));
        let most = |kib: fn(Memory) -> u64| {
            let cells = matrix.0.iter().filter(ours);
            cells.filter_map(|cell| Some(kib(cell.measurement.memory?) as f64 / 1_024.0)).max_by(f64::total_cmp)
        };
        if let Some((now, peak)) = most(|memory| memory.now).zip(most(|memory| memory.peak)) {
            writeln!(text, "Highest memory at the end of a cell: {now:.1} MiB; highest peak: {peak:.1} MiB.\n")?;
        }
    }
    Ok(text)
}

fn peers(results: &Results) -> anyhow::Result<String> {
    let mut text =
        "| peer | a second | of ours | p99 ms | RSS MiB | failed | |\n|---|---|---|---|---|---|---|\n".to_owned();
    for peer in &results.peers {
        let cells = peer.cells();
        writeln!(text, "| {} | {} | {} |", peer.name, cells.join(" | "), peer.remark())?;
    }
    Ok(text)
}

/// A table for each kind of call, with a line for each multiple of its capacity.
fn overload(results: &Results) -> anyhow::Result<String> {
    let mut text = String::new();
    for load in &results.overload {
        writeln!(text, "{}.\n", load.summary())?;
        writeln!(text, "| {} |\n|{}", OverloadRow::HEADERS.join(" | "), "---|".repeat(OverloadRow::HEADERS.len()))?;
        for row in &load.rows {
            writeln!(text, "| {} |", row.cells(load.capacity).join(" | "))?;
        }
        writeln!(text)?;
    }
    Ok(text)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection_matrix::tests::cell;
    use crate::measurement::Latency;
    use crate::overload::tests::overload_of;

    #[test]
    fn only_the_text_between_markers_is_replaced() {
        let mut results = Results::default();
        results.connection_matrix.0.push(cell(Column::Baseline, 64, 200));
        results.connection_matrix.0.push(cell(Column::Batched { devices: 10 }, 64, 100));
        let before = "a\n<!-- bench:grid -->\nold\n<!-- /bench:grid -->\nb\n";
        let after = fill(before, &results).unwrap();
        assert_eq!(after.replaced, ["grid"]);
        let after = after.text;
        assert!(after.starts_with("a\n<!-- bench:grid -->\n| batching on"), "{after}");
        assert!(after.contains("| 64 | 100 a second, 0.500 of baseline, p99 – ms |"), "{after}");
        assert!(after.ends_with("|\n<!-- /bench:grid -->\nb\n") && !after.contains("old"), "{after}");
        assert_eq!(fill(&after, &results).unwrap().text, after, "a second run changes nothing");
        assert!(fill("<!-- bench:grid -->", &results).is_err());
        assert!(fill("no markers", &results).unwrap().replaced.is_empty());
    }

    #[test]
    fn tables_that_were_not_measured_are_unchanged() {
        let before: String =
            NAMES.into_iter().map(|name| format!("<!-- bench:{name} -->\n{name}\n<!-- /bench:{name} -->\n")).collect();
        let machine = vec!["two cores".to_owned()];
        let none = Results { machine: machine.clone(), ..Results::default() };
        let after = fill(&before, &none).unwrap();
        assert_eq!((after.text.as_str(), after.unchanged.as_slice()), (before.as_str(), NAMES.as_slice()));
        let overload = fill(&before, &Results { overload: vec![overload_of(0)], ..none }).unwrap();
        assert_eq!(overload.replaced, ["overload"]);
        let mut some = Results { machine, ..Results::default() };
        for devices in [10, 1_000] {
            some.connection_matrix.0.push(cell(Column::Batched { devices }, 64, 100));
        }
        assert_eq!(fill(&before, &some).unwrap().replaced, ["grid"], "only one target was measured");
        for row in Row::ALL {
            let memory = Some(Memory { now: 0, peak: 0 });
            let latency = Some(Latency { p50: Duration::ZERO, p99: Duration::from_millis(1) });
            some.report.add(row, Measurement { memory, latency, ..cell(Column::Baseline, 64, 100).measurement });
        }
        assert_eq!(fill(&before, &some).unwrap().replaced, ["machine", "targets", "rates", "grid"]);
    }

    #[test]
    fn results_are_read_back_from_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/run.json");
        let mut results = Results { machine: vec!["two cores".to_owned()], refused: 3, ..Results::default() };
        for (column, answered) in [(Column::Baseline, 9), (Column::Unbatched { devices: 10 }, 7)] {
            results.connection_matrix.0.push(cell(column, 1, answered));
        }
        results.write(&file).unwrap();
        let read = Results::read(&file).unwrap();
        assert_eq!((read.refused, read.machine), (3, results.machine));
        let ratio = read.connection_matrix.relative_to_baseline(Column::Unbatched { devices: 10 }, 1);
        assert_eq!(ratio, Some(7.0 / 9.0));
    }

    #[test]
    fn overload_is_stored_and_shown_and_its_broken_calls_are_failures() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        let mut results = Results { overload: vec![overload_of(0)], ..Results::default() };
        assert_eq!(results.failed(), 0, "a shed request is not a failure");
        results.overload.push(overload_of(2));
        results.write(&file).unwrap();
        let results = Results::read(&file).unwrap();
        assert_eq!((results.broken(), results.failed()), (2, 2));
        let text = section(&results, "overload").unwrap().unwrap();
        assert!(text.contains("| 4× | 3.60× | 0.90× | 75.0 % | 10.0 | 10.0 | 2.0 | 7 | 0 |"), "{text}");
    }

    #[test]
    fn a_file_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        let cell = concat!(
            r#"{"answered":9,"failed":0,"elapsed":{"secs":1,"nanos":0},"#,
            r#""latency":null,"cpu":null,"memory":null}"#
        );
        let report = format!(r#"[["lone-single-polls",{cell}]]"#);
        let grid = format!(r#"[{{"column":{{"gathered":{{"devices":10}}}},"connections":1,"sample":{cell}}}]"#);
        let text = format!(r#"{{"machine":[],"report":{report},"grid":{grid},"peers":[],"refused":0}}"#);
        fs::write(&file, text).unwrap();
        let results = Results::read(&file).unwrap();
        assert!(results.connections.is_none() && results.overload.is_empty());
        assert_eq!(results.report.of(Row::UnbatchedPollsOneConnection).count(), 1);
        assert_eq!(results.connection_matrix.of(Column::Batched { devices: 10 }, 1).count(), 1);
    }
}
