//! The targets, and whether a run met them. A missed target is told, and fails nothing: a figure is no test.

use std::fmt;

use crate::grid::Grid;
use crate::report::{Report, Row};
use crate::results::Results;
use crate::sample::{Sample, Spread};

/// Which side of the target is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    AtLeast,
    AtMost,
}

/// A target, and what was measured for it.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    good: Good,
    target: f64,
    /// One of each repetition.
    pub(crate) values: Vec<f64>,
    digits: usize,
    /// What else was measured beside it, in words; it decides nothing.
    beside: String,
}

impl Verdict {
    /// None when nothing was measured.
    pub(crate) fn median(&self) -> Option<f64> {
        Spread::of(self.values.iter().copied()).map(|spread| spread.median)
    }

    /// Whether the median is on the good side; none when nothing was measured.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.median().map(|median| match self.good {
            Good::AtLeast => median >= self.target,
            Good::AtMost => median <= self.target,
        })
    }

    pub(crate) fn target_in_words(&self) -> String {
        let sign = if self.good == Good::AtLeast { '≥' } else { '≤' };
        format!("{sign} {:.*}", self.digits.min(2), self.target)
    }

    pub(crate) fn values_in_words(&self) -> String {
        in_words(&self.values, self.digits) + &self.beside
    }

    pub(crate) fn median_in_words(&self) -> String {
        self.median().map_or_else(|| "–".to_owned(), |median| format!("{median:.*}", self.digits))
    }

    pub(crate) fn outcome(&self) -> &'static str {
        match self.is_met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        }
    }
}

/// All targets against these results.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let report = &results.report;
    let at_least =
        |name, target, values| Verdict { name, good: Good::AtLeast, target, values, digits: 3, beside: String::new() };
    let at_most = |name, target, values, digits| Verdict {
        name,
        good: Good::AtMost,
        target,
        values,
        digits,
        beside: String::new(),
    };
    vec![
        at_least("status / bare handler", 0.60, report.ratios((Row::Polls, Row::BarePolls))),
        at_least("status / gathering off", 4.0, report.ratios((Row::GatheredPolls, Row::SinglePolls))),
        at_least(
            "status / gathering off, 1 connection",
            0.95,
            report.ratios((Row::LoneGatheredPolls, Row::LoneSinglePolls)),
        ),
        at_most("p99 / p99 with gathering off", 1.0, p99s(report, Row::GatheredPolls, Row::SinglePolls), 3),
        at_most(
            "p99 / p99 with gathering off, 1 connection",
            1.0,
            p99s(report, Row::LoneGatheredPolls, Row::LoneSinglePolls),
            3,
        ),
        at_least("codes / pgbench, the write", 2.0, report.ratios((Row::Codes, Row::PgCodes))),
        at_least("claims / pgbench, the statements", 0.8, report.ratios((Row::Claims, Row::PgClaims))),
        at_most("codes right after an import / before it, p50", 2.0, p50s_around_an_import(report), 3),
        at_most("import / COPY of PostgreSQL, time", 6.0, report.ratios((Row::Copy, Row::Import)), 3),
        at_most(
            "portal p99 while terminals bootstrap / alone",
            5.0,
            p99s(report, Row::PortalBesideBootstraps, Row::PortalAlone),
            3,
        ),
        at_most("portal requests not answered 2xx meanwhile", 0.0, portal_failures(report), 0),
        at_most("peak resident memory at 64 connections, all loads, MiB", 40.0, memory(results), 1),
        Verdict {
            beside: flatness_beside(&results.grid),
            ..at_least("status, most devices / fewest", 0.90, results.grid.flatness())
        },
    ]
}

/// What was judged by its medians over the connections: each number of connections, and the least there was.
fn flatness_beside(grid: &Grid) -> String {
    let at_each = grid.flatness_at_each();
    let Some(all) = Spread::of(at_each.iter().flat_map(|(_, ratios)| ratios.iter().copied())) else {
        return String::new();
    };
    let at_each = at_each.iter().map(|(connections, ratios)| format!("{connections}: {}", in_words(ratios, 3)));
    let at_each = at_each.collect::<Vec<_>>().join(", ");
    format!("; by connections {at_each}; least {:.3}", all.least)
}

fn in_words(values: &[f64], digits: usize) -> String {
    values.iter().map(|value| format!("{value:.digits$}")).collect::<Vec<_>>().join(" ")
}

fn p99s(report: &Report, ours: Row, theirs: Row) -> Vec<f64> {
    let pairs = report.of(ours).zip(report.of(theirs));
    pairs.filter_map(|(ours, theirs)| Some(ours.p99_millis()? / theirs.p99_millis()?)).collect()
}

fn p50s_around_an_import(report: &Report) -> Vec<f64> {
    let pairs = report.of(Row::CodesAfterImport).zip(report.of(Row::CodesBeforeImport));
    pairs.filter_map(|(after, before)| Some(after.p50_millis()? / before.p50_millis()?)).collect()
}

fn portal_failures(report: &Report) -> Vec<f64> {
    report.of(Row::PortalBesideBootstraps).map(|sample| sample.failed as f64).collect()
}

/// The connections that the target for memory is set at.
const CONNECTIONS: u32 = 64;

/// The loads that the target for memory is about: each must have been measured.
const LOADS: [Row; 3] = [Row::Polls, Row::Codes, Row::Claims];

/// The most the server ever held, by the end of each repetition of whatever load took it furthest. The tables, which
/// are another load, come later. Nothing of a run that left a load out, or had other connections.
fn memory(results: &Results) -> Vec<f64> {
    let report = &results.report;
    // A file from before this was kept does not say; the lines about its machine do.
    if results.connections.is_some_and(|connections| connections != CONNECTIONS) {
        return Vec::new();
    }
    let peak = |sample: &Sample| sample.memory.map(|memory| memory.peak as f64 / 1_024.0);
    let ours = || Row::ALL.into_iter().filter(|row| row.is_ours());
    let repetitions = LOADS.into_iter().map(|row| report.of(row).count()).min().unwrap_or(0);
    let of = |repetition| ours().filter_map(move |row| report.of(row).nth(repetition).and_then(peak));
    (0..repetitions).filter_map(|repetition| of(repetition).max_by(f64::total_cmp)).collect()
}

/// The verdicts as lines of a table.
pub(crate) struct InLines<'v>(pub(crate) &'v [Verdict]);

impl fmt::Display for InLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<54} {:>7} {:>8}  {:<12} measured", "target", "", "median", "")?;
        for verdict in self.0 {
            writeln!(
                f,
                "{:<54} {:>7} {:>8}  {:<12} {}",
                verdict.name,
                verdict.target_in_words(),
                verdict.median_in_words(),
                verdict.outcome(),
                verdict.values_in_words()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::grid::Column;
    use crate::grid::tests::cell;
    use crate::machine::Memory;
    use crate::sample::Latency;

    fn sample(answered: u64, peak_mib: u64) -> Sample {
        let memory = Some(Memory { now: 0, peak: peak_mib * 1_024 });
        Sample { answered, failed: 0, elapsed: Duration::from_secs(1), latency: None, cpu: None, memory }
    }

    #[test]
    fn the_median_decides_and_what_was_not_measured_is_neither_met_nor_missed() {
        let mut results = Results::default();
        for (bare, ours, write, codes) in [(100, 59, 10, 20), (100, 61, 10, 17), (100, 60, 10, 30)] {
            results.report.add(Row::BarePolls, sample(bare, 90));
            results.report.add(Row::Polls, sample(ours, 39));
            results.report.add(Row::PgCodes, sample(write, 0));
            results.report.add(Row::Codes, sample(codes, 41));
        }
        let all = verdicts(&results);
        let of = |name: &str| all.iter().find(|verdict| verdict.name.starts_with(name)).unwrap();
        assert_eq!((of("status / bare").is_met(), of("status / bare").median()), (Some(true), Some(0.6)));
        assert_eq!(of("codes / pgbench").values, vec![2.0, 1.7, 3.0]);
        assert_eq!(of("codes / pgbench").outcome(), "met");
        assert_eq!(of("peak").outcome(), "not measured", "a load is missing");
        assert_eq!(of("claims").outcome(), "not measured");
        let text = InLines(&all).to_string();
        assert!(text.contains("≥ 0.60    0.600  met          0.590 0.610 0.600"), "{text}");
    }

    #[test]
    fn an_import_is_judged_by_its_time_and_codes_and_portals_by_their_latency() {
        let timed = |seconds: u64, p50: u64, p99: u64, failed| Sample {
            failed,
            elapsed: Duration::from_secs(seconds),
            latency: Some(Latency { p50: Duration::from_millis(p50), p99: Duration::from_millis(p99) }),
            ..sample(100, 0)
        };
        let mut results = Results::default();
        for (row, sample) in [
            (Row::Copy, timed(2, 1, 1, 0)),
            (Row::Import, timed(10, 1, 1, 0)),
            (Row::CodesBeforeImport, timed(1, 4, 9, 0)),
            (Row::CodesAfterImport, timed(1, 9, 9, 0)),
            (Row::PortalAlone, timed(1, 1, 2, 0)),
            (Row::PortalBesideBootstraps, timed(1, 1, 8, 1)),
        ] {
            results.report.add(row, sample);
        }
        let all = verdicts(&results);
        let told = |name: &str| {
            let verdict = all.iter().find(|verdict| verdict.name.starts_with(name)).unwrap();
            (verdict.median().unwrap(), verdict.outcome())
        };
        assert_eq!(told("import / COPY"), (5.0, "met"));
        assert_eq!(told("codes right after"), (2.25, "MISSED"));
        assert_eq!(told("portal p99"), (4.0, "met"));
        assert_eq!(told("portal requests"), (1.0, "MISSED"));
    }

    #[test]
    fn memory_is_judged_by_all_loads_at_64_connections_and_by_nothing_less() {
        let mut results = Results::default();
        for row in LOADS {
            assert!(memory(&results).is_empty(), "{} is missing", row.name());
            results.report.add(row, sample(1, if row == Row::Codes { 41 } else { 39 }));
        }
        assert_eq!(memory(&results), vec![41.0]);
        results.connections = Some(64);
        assert_eq!(memory(&results), vec![41.0]);
        results.connections = Some(16);
        assert!(memory(&results).is_empty());
    }

    #[test]
    fn flatness_is_judged_by_its_median_and_shown_for_all_connections_with_its_least() {
        let mut results = Results::default();
        for (connections, most) in [(1, 95), (4, 91), (64, 70)] {
            for (devices, rate) in [(10, 100), (1_000, most)] {
                results.grid.0.push(cell(Column::Gathered { devices }, connections, rate));
            }
        }
        let all = verdicts(&results);
        let flat = all.last().unwrap();
        assert_eq!((flat.median(), flat.outcome()), (Some(0.91), "met"));
        assert_eq!(flat.values_in_words(), "0.910; by connections 1: 0.950, 4: 0.910, 64: 0.700; least 0.700");
    }
}
