//! A run's results as Markdown, so that no figure in the documentation is typed by hand.
//!
//! A file says where a table goes by a pair of comments, `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`; what stands
//! between them is replaced.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;

use crate::grid::Column;
use crate::machine::Memory;
use crate::options::Table;
use crate::overload::Line;
use crate::report::{RATIOS, Row};
use crate::results::Results;
use crate::sample::{Sample, Spread};
use crate::verdicts::verdicts;

/// The tables there are, by the names in the markers.
const NAMES: [&str; 6] = ["machine", "targets", "rates", "grid", "peers", "overload"];

/// Writes the tables to the screen, or into files.
pub(crate) fn write(options: &Table) -> anyhow::Result<()> {
    let results = Results::read(&options.from)?;
    if options.into.is_empty() {
        for name in NAMES {
            println!("{}\n", section(&results, name)?);
        }
    }
    for file in &options.into {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (text, replaced) = filled(&text, &results)?;
        anyhow::ensure!(replaced > 0, "{} has no markers", file.display());
        fs::write(file, text)?;
        println!("{}: {replaced} tables", file.display());
    }
    Ok(())
}

/// The text with every marked part replaced, and how many there were.
fn filled(text: &str, results: &Results) -> anyhow::Result<(String, usize)> {
    let (mut whole, mut replaced) = (text.to_owned(), 0);
    for name in NAMES {
        let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
        let Some((before, rest)) = whole.split_once(&begin) else { continue };
        let (_, after) = rest.split_once(&end).with_context(|| format!("{begin} has no end"))?;
        whole = format!("{before}{begin}\n{}\n{end}{after}", section(results, name)?);
        replaced += 1;
    }
    Ok((whole, replaced))
}

fn section(results: &Results, name: &str) -> anyhow::Result<String> {
    let text = match name {
        "machine" => format!("```\n{}\n```", results.machine.join("\n")),
        "targets" => targets(results)?,
        "rates" => rates(results)?,
        "grid" => grid(results)?,
        "peers" => peers(results)?,
        "overload" => overload(results)?,
        other => anyhow::bail!("there is no table {other}"),
    };
    Ok(text.trim_end().to_owned())
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

/// A line for each number of connections: the rate, what it is of the bare handler's, and the p99.
fn grid(results: &Results) -> anyhow::Result<String> {
    let (devices, connections) = results.grid.sizes();
    let mut text = String::new();
    for (column, name) in [(Column::Gathered, "gathering on, as shipped"), (Column::Single, "gathering off")] {
        if !results.grid.0.iter().any(|cell| cell.column == column) {
            continue;
        }
        write!(text, "| {name}: connections |")?;
        for count in &devices {
            write!(text, " {count} devices |")?;
        }
        writeln!(text, "\n|---|{}", "---|".repeat(devices.len()))?;
        for at in &connections {
            if !devices.iter().any(|count| results.grid.get(column, *count, *at).is_some()) {
                continue;
            }
            write!(text, "| {at} |")?;
            for count in &devices {
                let Some(sample) = results.grid.get(column, *count, *at) else {
                    write!(text, " – |")?;
                    continue;
                };
                let of_bare = number(results.grid.of_bare(column, *count, *at), 3);
                let p99 = number(sample.p99_millis(), 2);
                write!(text, " {:.0} a second, {of_bare} of bare, p99 {p99} ms |", sample.per_second())?;
            }
            writeln!(text)?;
        }
        writeln!(text)?;
        let most = |kib: fn(Memory) -> u64| {
            let cells = results.grid.0.iter().filter(|cell| cell.column == column);
            cells.filter_map(|cell| Some(kib(cell.sample.memory?) as f64 / 1_024.0)).max_by(f64::total_cmp)
        };
        if let Some((now, peak)) = most(|memory| memory.now).zip(most(|memory| memory.peak)) {
            writeln!(text, "The most memory at a cell's end: {now:.1} MiB; the most there ever was: {peak:.1} MiB.\n")?;
        }
    }
    Ok(if text.is_empty() { "Not measured.".to_owned() } else { text })
}

fn peers(results: &Results) -> anyhow::Result<String> {
    if results.peers.is_empty() {
        return Ok("Not measured.".to_owned());
    }
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
    Ok(if text.is_empty() { "Not measured.".to_owned() } else { text })
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::tests::cell;
    use crate::overload::tests::overload_of;

    #[test]
    fn what_is_between_markers_is_replaced_and_nothing_else() {
        let mut results = Results::default();
        results.grid.0.push(cell(Column::Bare, 10, 64, 200));
        results.grid.0.push(cell(Column::Gathered, 10, 64, 100));
        let before = "a\n<!-- bench:grid -->\nold\n<!-- /bench:grid -->\nb\n";
        let (after, replaced) = filled(before, &results).unwrap();
        assert_eq!(replaced, 1);
        assert!(after.starts_with("a\n<!-- bench:grid -->\n| gathering on"), "{after}");
        assert!(after.contains("| 64 | 100 a second, 0.500 of bare, p99 – ms |"), "{after}");
        assert!(after.ends_with("|\n<!-- /bench:grid -->\nb\n") && !after.contains("old"), "{after}");
        assert_eq!(filled(&after, &results).unwrap().0, after, "once more changes nothing");
        assert!(filled("<!-- bench:grid -->", &results).is_err());
        assert_eq!(filled("no markers", &results).unwrap().1, 0);
    }

    #[test]
    fn every_table_can_be_written_of_an_empty_run_and_of_its_json() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/run.json");
        Results { machine: vec!["two cores".to_owned()], refused: 3, ..Results::default() }.keep(&file).unwrap();
        let results = Results::read(&file).unwrap();
        assert_eq!(results.refused, 3);
        assert_eq!(section(&results, "machine").unwrap(), "```\ntwo cores\n```");
        assert!(section(&results, "targets").unwrap().contains("not measured"));
        assert!(NAMES.iter().all(|name| section(&results, name).is_ok()));
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
        let text = section(&results, "overload").unwrap();
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
