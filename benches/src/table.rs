//! A run's results as Markdown, so that no figure in the documentation is typed by hand.
//!
//! A file says where a table goes by a pair of comments, `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; what stands
//! between them is replaced.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;

use crate::grid::{Cell, Column};
use crate::machine::Memory;
use crate::options::Table;
use crate::overload::Line;
use crate::report::{RATIOS, Row};
use crate::results::Results;
use crate::sample::{Sample, Spread};
use crate::verdicts::verdicts;

/// The tables there are, by the names in the markers.
const NAMES: [&str; 6] = ["machine", "targets", "rates", "grid", "peers", "overload"];

/// Writes the tables to the screen, or into files. A table that the run did not measure, or not all of, is left as it is.
pub(crate) fn write(options: &Table) -> anyhow::Result<()> {
    let results = Results::read(&options.from)?;
    if options.into.is_empty() {
        for name in NAMES {
            println!("{}\n", section(&results, name)?.unwrap_or_else(|| format!("{name}: not, or not all, measured")));
        }
    }
    for file in &options.into {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let Filled { text, replaced, left } = filled(&text, &results)?;
        anyhow::ensure!(replaced.len() + left.len() > 0, "{} has no markers", file.display());
        fs::write(file, text)?;
        let told = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        println!("{}: filled {}; not (all) measured, left as before: {}", file.display(), told(&replaced), told(&left));
    }
    Ok(())
}

/// A file's text with what was measured in it.
struct Filled {
    text: String,
    replaced: Vec<&'static str>,
    /// Which marked parts this run says nothing about.
    left: Vec<&'static str>,
}

fn filled(text: &str, results: &Results) -> anyhow::Result<Filled> {
    let mut filled = Filled { text: text.to_owned(), replaced: Vec::new(), left: Vec::new() };
    for name in NAMES {
        let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
        let Some((before, rest)) = filled.text.split_once(&begin) else { continue };
        let (_, after) = rest.split_once(&end).with_context(|| format!("{begin} has no end"))?;
        let Some(section) = section(results, name)? else {
            filled.left.push(name);
            continue;
        };
        filled.text = format!("{before}{begin}\n{section}\n{end}{after}");
        filled.replaced.push(name);
    }
    Ok(filled)
}

/// None when it was not measured, or in part only: a table tells of one run. The machine goes with the targets, and
/// is what they were measured on.
fn section(results: &Results, name: &str) -> anyhow::Result<Option<String>> {
    let judged = verdicts(results).iter().all(|verdict| verdict.is_met().is_some());
    let (measured, table): (bool, fn(&Results) -> anyhow::Result<String>) = match name {
        "machine" => (judged, |results| Ok(format!("```\n{}\n```", results.machine.join("\n")))),
        "targets" => (judged, targets),
        "rates" => (Row::ALL.into_iter().all(|row| results.report.of(row).next().is_some()), rates),
        "grid" => (!results.grid.0.is_empty(), grid),
        "peers" => (!results.peers.is_empty(), peers),
        "overload" => (!results.overload.is_empty(), overload),
        other => anyhow::bail!("there is no table {other}"),
    };
    measured.then(|| Ok(table(results)?.trim_end().to_owned())).transpose()
}

fn targets(results: &Results) -> anyhow::Result<String> {
    let mut text = "| | target | median | each | |\n|---|---|---|---|---|\n".to_owned();
    for verdict in verdicts(results) {
        let (target, median) = (verdict.target_in_words(), verdict.median_in_words());
        let (values, outcome) = (verdict.values_in_words(), verdict.outcome());
        writeln!(text, "| {} | {target} | {median} | {values} | {outcome} |", verdict.name)?;
    }
    Ok(text)
}

fn rates(results: &Results) -> anyhow::Result<String> {
    let mut text = "| | a second | least – most | p50 ms | p99 ms | cpu µs | peak MiB |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in Row::ALL {
        let of = |number: &dyn Fn(&Sample) -> Option<f64>| Spread::of(results.report.of(row).filter_map(number));
        let Some(rate) = of(&|sample| Some(sample.per_second())) else { continue };
        let p50 = of(&|sample| Some(sample.latency?.p50.as_secs_f64() * 1e3));
        let peak = of(&|sample| Some(sample.memory?.peak as f64 / 1_024.0)).map(|spread| spread.most);
        writeln!(
            text,
            "| {} | {:.0} | {:.0} – {:.0} | {} | {} | {} | {} |",
            row.name(),
            rate.median,
            rate.least,
            rate.most,
            number(p50.map(|spread| spread.median), 2),
            number(of(&Sample::p99_millis).map(|spread| spread.median), 2),
            number(of(&Sample::cpu_micros).map(|spread| spread.median), 1),
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

/// A line for each number of connections: medians of the rate, of what it is of the bare handler's, and of the p99.
fn grid(results: &Results) -> anyhow::Result<String> {
    let grid = &results.grid;
    let (devices, connections) = grid.sizes();
    let mut text = String::new();
    for (gathered, name) in [(true, "gathering on, as shipped"), (false, "gathering off")] {
        let column = |devices| if gathered { Column::Gathered { devices } } else { Column::Single { devices } };
        let measured = |at: u32| devices.iter().any(|count| grid.of(column(*count), at).next().is_some());
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
                let Some(rate) = grid.median(column, at, |sample| Some(sample.per_second())) else {
                    write!(text, " – |")?;
                    continue;
                };
                let of_bare = number(grid.of_bare(column, at), 3);
                let p99 = number(grid.median(column, at, Sample::p99_millis), 2);
                write!(text, " {rate:.0} a second, {of_bare} of bare, p99 {p99} ms |")?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        let ours = |cell: &&Cell| devices.iter().any(|count| cell.column == column(*count));
        let most = |kib: fn(Memory) -> u64| {
            let cells = grid.0.iter().filter(ours);
            cells.filter_map(|cell| Some(kib(cell.sample.memory?) as f64 / 1_024.0)).max_by(f64::total_cmp)
        };
        if let Some((now, peak)) = most(|memory| memory.now).zip(most(|memory| memory.peak)) {
            writeln!(text, "The most memory at a cell's end: {now:.1} MiB; the most there ever was: {peak:.1} MiB.\n")?;
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

/// A table for each kind of call, a line for each multiple of its capacity.
fn overload(results: &Results) -> anyhow::Result<String> {
    let mut text = String::new();
    for load in &results.overload {
        writeln!(text, "{}.\n", load.in_words())?;
        writeln!(text, "| {} |\n|{}", Line::HEADERS.join(" | "), "---|".repeat(Line::HEADERS.len()))?;
        for line in &load.lines {
            writeln!(text, "| {} |", line.cells(load.capacity).join(" | "))?;
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
    use crate::grid::tests::cell;
    use crate::overload::tests::overload_of;
    use crate::sample::Latency;

    #[test]
    fn what_is_between_markers_is_replaced_and_nothing_else() {
        let mut results = Results::default();
        results.grid.0.push(cell(Column::Bare, 64, 200));
        results.grid.0.push(cell(Column::Gathered { devices: 10 }, 64, 100));
        let before = "a\n<!-- bench:grid -->\nold\n<!-- /bench:grid -->\nb\n";
        let after = filled(before, &results).unwrap();
        assert_eq!(after.replaced, ["grid"]);
        let after = after.text;
        assert!(after.starts_with("a\n<!-- bench:grid -->\n| gathering on"), "{after}");
        assert!(after.contains("| 64 | 100 a second, 0.500 of bare, p99 – ms |"), "{after}");
        assert!(after.ends_with("|\n<!-- /bench:grid -->\nb\n") && !after.contains("old"), "{after}");
        assert_eq!(filled(&after, &results).unwrap().text, after, "once more changes nothing");
        assert!(filled("<!-- bench:grid -->", &results).is_err());
        assert!(filled("no markers", &results).unwrap().replaced.is_empty());
    }

    #[test]
    fn what_was_not_measured_is_left_as_it_was() {
        let before: String =
            NAMES.into_iter().map(|name| format!("<!-- bench:{name} -->\n{name}\n<!-- /bench:{name} -->\n")).collect();
        let machine = vec!["two cores".to_owned()];
        let none = Results { machine: machine.clone(), ..Results::default() };
        let after = filled(&before, &none).unwrap();
        assert_eq!((after.text.as_str(), after.left.as_slice()), (before.as_str(), NAMES.as_slice()));
        let overload = filled(&before, &Results { overload: vec![overload_of(0)], ..none }).unwrap();
        assert_eq!(overload.replaced, ["overload"]);
        let mut some = Results { machine, ..Results::default() };
        for devices in [10, 1_000] {
            some.grid.0.push(cell(Column::Gathered { devices }, 64, 100));
        }
        assert_eq!(filled(&before, &some).unwrap().replaced, ["grid"], "only one target of them all was measured");
        for row in Row::ALL {
            let memory = Some(Memory { now: 0, peak: 0 });
            let latency = Some(Latency { p50: Duration::ZERO, p99: Duration::from_millis(1) });
            some.report.add(row, Sample { memory, latency, ..cell(Column::Bare, 64, 100).sample });
        }
        assert_eq!(filled(&before, &some).unwrap().replaced, ["machine", "targets", "rates", "grid"]);
    }

    #[test]
    fn a_run_is_read_again_from_its_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/run.json");
        let mut results = Results { machine: vec!["two cores".to_owned()], refused: 3, ..Results::default() };
        for (column, answered) in [(Column::Bare, 9), (Column::Single { devices: 10 }, 7)] {
            results.grid.0.push(cell(column, 1, answered));
        }
        results.keep(&file).unwrap();
        let read = Results::read(&file).unwrap();
        assert_eq!((read.refused, read.machine), (3, results.machine));
        assert_eq!(read.grid.of_bare(Column::Single { devices: 10 }, 1), Some(7.0 / 9.0));
    }

    #[test]
    fn overload_is_kept_and_shown_and_what_broke_in_it_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        let mut results = Results { overload: vec![overload_of(0)], ..Results::default() };
        assert_eq!(results.failed(), 0, "to be turned away is no failure");
        results.overload.push(overload_of(2));
        results.keep(&file).unwrap();
        let results = Results::read(&file).unwrap();
        assert_eq!((results.broken(), results.failed()), (2, 2));
        let text = section(&results, "overload").unwrap().unwrap();
        assert!(text.contains("| 4× | 3.60× | 0.90× | 75.0 % | 10.0 | 10.0 | 2.0 | 7 | 0 |"), "{text}");
    }

    #[test]
    fn a_file_from_before_overload_was_kept_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.json");
        fs::write(&file, r#"{"machine":[],"report":[],"grid":[],"peers":[],"refused":0}"#).unwrap();
        let results = Results::read(&file).unwrap();
        assert!(results.connections.is_none() && results.overload.is_empty());
    }
}
