//! Performance targets, and whether a run meets them. A missed target is reported, but does not fail the run.

use std::fmt;

use crate::connection_matrix::ConnectionMatrix;
use crate::measurement::{Measurement, Spread};
use crate::report::{Report, Row};
use crate::results::Results;

/// Whether the target is a lower or an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtLeast,
    AtMost,
}

/// A target with the measured values.
#[derive(Debug, Clone)]
pub(crate) struct TargetResult {
    pub(crate) name: &'static str,
    bound: Bound,
    target: f64,
    /// One value for each repetition.
    pub(crate) values: Vec<f64>,
    digits: usize,
    /// Additional values as text, which are not evaluated.
    details: String,
}

impl TargetResult {
    /// The median; `None` without measurements.
    pub(crate) fn median(&self) -> Option<f64> {
        Spread::of(self.values.iter().copied()).map(|spread| spread.median)
    }

    /// Whether the median meets the target; `None` without measurements.
    pub(crate) fn is_met(&self) -> Option<bool> {
        self.median().map(|median| match self.bound {
            Bound::AtLeast => median >= self.target,
            Bound::AtMost => median <= self.target,
        })
    }

    pub(crate) fn format_target(&self) -> String {
        let sign = if self.bound == Bound::AtLeast { '≥' } else { '≤' };
        format!("{sign} {:.*}", self.digits.min(2), self.target)
    }

    pub(crate) fn format_values(&self) -> String {
        format_all(&self.values, self.digits) + &self.details
    }

    pub(crate) fn format_median(&self) -> String {
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

/// Evaluates all targets.
pub(crate) fn evaluate(results: &Results) -> Vec<TargetResult> {
    let report = &results.report;
    let at_least = |name, target, values| TargetResult {
        name,
        bound: Bound::AtLeast,
        target,
        values,
        digits: 3,
        details: String::new(),
    };
    let at_most = |name, target, values, digits| TargetResult {
        name,
        bound: Bound::AtMost,
        target,
        values,
        digits,
        details: String::new(),
    };
    vec![
        at_least("status / baseline handler", 0.60, report.ratios((Row::Polls, Row::BaselinePolls))),
        at_least("status / batching off", 4.0, report.ratios((Row::BatchedPolls, Row::UnbatchedPolls))),
        at_least(
            "status / batching off, 1 connection",
            0.95,
            report.ratios((Row::BatchedPollsOneConnection, Row::UnbatchedPollsOneConnection)),
        ),
        at_most("p99 / p99 with batching off", 1.0, p99s(report, Row::BatchedPolls, Row::UnbatchedPolls), 3),
        at_most(
            "p99 / p99 with batching off, 1 connection",
            1.0,
            p99s(report, Row::BatchedPollsOneConnection, Row::UnbatchedPollsOneConnection),
            3,
        ),
        at_least("codes / pgbench, the write", 2.0, report.ratios((Row::Codes, Row::PgCodes))),
        at_least("claims / pgbench, the statements", 0.8, report.ratios((Row::Claims, Row::PgClaims))),
        at_most("codes right after an import / before it, p50", 2.0, p50s_around_an_import(report), 3),
        at_most("import / COPY of PostgreSQL, time", 6.0, report.ratios((Row::Copy, Row::Import)), 3),
        at_most(
            "portal p99 while terminals bootstrap / alone",
            5.0,
            p99s(report, Row::PortalDuringBootstraps, Row::PortalAlone),
            3,
        ),
        at_most("portal requests not answered 2xx meanwhile", 0.0, portal_failures(report), 0),
        at_most("peak resident memory at 64 connections, all loads, MiB", 40.0, memory(results), 1),
        TargetResult {
            details: flatness_details(&results.connection_matrix),
            ..at_least("status, most devices / fewest", 0.90, results.connection_matrix.flatness())
        },
    ]
}

/// The flatness at each number of connections, of which the target uses the median, and its minimum.
fn flatness_details(matrix: &ConnectionMatrix) -> String {
    let at_each = matrix.flatness_at_each();
    let Some(all) = Spread::of(at_each.iter().flat_map(|(_, ratios)| ratios.iter().copied())) else {
        return String::new();
    };
    let at_each = at_each.iter().map(|(connections, ratios)| format!("{connections}: {}", format_all(ratios, 3)));
    let at_each = at_each.collect::<Vec<_>>().join(", ");
    format!("; by connections {at_each}; least {:.3}", all.least)
}

fn format_all(values: &[f64], digits: usize) -> String {
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
    report.of(Row::PortalDuringBootstraps).map(|measurement| measurement.failed as f64).collect()
}

/// The number of connections that the memory target applies to.
const CONNECTIONS: u32 = 64;

/// The loads that the memory target applies to: each must have been measured.
const LOADS: [Row; 3] = [Row::Polls, Row::Codes, Row::Claims];

/// The server's peak memory at the end of each repetition, the maximum over all loads. The tables come later and do not
/// count. Empty if a load was not measured, or with another number of connections.
fn memory(results: &Results) -> Vec<f64> {
    let report = &results.report;
    // Older files have no number of connections here, only in the lines about the machine.
    if results.connections.is_some_and(|connections| connections != CONNECTIONS) {
        return Vec::new();
    }
    let peak = |measurement: &Measurement| measurement.memory.map(|memory| memory.peak as f64 / 1_024.0);
    let ours = || Row::ALL.into_iter().filter(|row| row.is_ours());
    let repetitions = LOADS.into_iter().map(|row| report.of(row).count()).min().unwrap_or(0);
    let of = |repetition| ours().filter_map(move |row| report.of(row).nth(repetition).and_then(peak));
    (0..repetitions).filter_map(|repetition| of(repetition).max_by(f64::total_cmp)).collect()
}

/// The results as a text table.
pub(crate) struct TargetTable<'r>(pub(crate) &'r [TargetResult]);

impl fmt::Display for TargetTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<54} {:>7} {:>8}  {:<12} measured", "target", "", "median", "")?;
        for result in self.0 {
            writeln!(
                f,
                "{:<54} {:>7} {:>8}  {:<12} {}",
                result.name,
                result.format_target(),
                result.format_median(),
                result.outcome(),
                result.format_values()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection_matrix::Column;
    use crate::connection_matrix::tests::cell;
    use crate::machine::Memory;
    use crate::measurement::Latency;

    fn measurement(answered: u64, peak_mib: u64) -> Measurement {
        let memory = Some(Memory { now: 0, peak: peak_mib * 1_024 });
        Measurement { answered, failed: 0, elapsed: Duration::from_secs(1), latency: None, cpu: None, memory }
    }

    #[test]
    fn the_median_is_evaluated_and_a_target_without_measurements_is_neither_met_nor_missed() {
        let mut results = Results::default();
        for (baseline, ours, write, codes) in [(100, 59, 10, 20), (100, 61, 10, 17), (100, 60, 10, 30)] {
            results.report.add(Row::BaselinePolls, measurement(baseline, 90));
            results.report.add(Row::Polls, measurement(ours, 39));
            results.report.add(Row::PgCodes, measurement(write, 0));
            results.report.add(Row::Codes, measurement(codes, 41));
        }
        let all = evaluate(&results);
        let of = |name: &str| all.iter().find(|result| result.name.starts_with(name)).unwrap();
        assert_eq!((of("status / baseline").is_met(), of("status / baseline").median()), (Some(true), Some(0.6)));
        assert_eq!(of("codes / pgbench").values, vec![2.0, 1.7, 3.0]);
        assert_eq!(of("codes / pgbench").outcome(), "met");
        assert_eq!(of("peak").outcome(), "not measured", "a load is missing");
        assert_eq!(of("claims").outcome(), "not measured");
        let text = TargetTable(&all).to_string();
        assert!(text.contains("≥ 0.60    0.600  met          0.590 0.610 0.600"), "{text}");
    }

    #[test]
    fn imports_are_evaluated_by_time_and_codes_and_portals_by_latency() {
        let timed = |seconds: u64, p50: u64, p99: u64, failed| Measurement {
            failed,
            elapsed: Duration::from_secs(seconds),
            latency: Some(Latency { p50: Duration::from_millis(p50), p99: Duration::from_millis(p99) }),
            ..measurement(100, 0)
        };
        let mut results = Results::default();
        for (row, measurement) in [
            (Row::Copy, timed(2, 1, 1, 0)),
            (Row::Import, timed(10, 1, 1, 0)),
            (Row::CodesBeforeImport, timed(1, 4, 9, 0)),
            (Row::CodesAfterImport, timed(1, 9, 9, 0)),
            (Row::PortalAlone, timed(1, 1, 2, 0)),
            (Row::PortalDuringBootstraps, timed(1, 1, 8, 1)),
        ] {
            results.report.add(row, measurement);
        }
        let all = evaluate(&results);
        let outcome = |name: &str| {
            let result = all.iter().find(|result| result.name.starts_with(name)).unwrap();
            (result.median().unwrap(), result.outcome())
        };
        assert_eq!(outcome("import / COPY"), (5.0, "met"));
        assert_eq!(outcome("codes right after"), (2.25, "MISSED"));
        assert_eq!(outcome("portal p99"), (4.0, "met"));
        assert_eq!(outcome("portal requests"), (1.0, "MISSED"));
    }

    #[test]
    fn memory_is_evaluated_only_if_all_loads_were_measured_at_64_connections() {
        let mut results = Results::default();
        for row in LOADS {
            assert!(memory(&results).is_empty(), "{} is missing", row.name());
            results.report.add(row, measurement(1, if row == Row::Codes { 41 } else { 39 }));
        }
        assert_eq!(memory(&results), vec![41.0]);
        results.connections = Some(64);
        assert_eq!(memory(&results), vec![41.0]);
        results.connections = Some(16);
        assert!(memory(&results).is_empty());
    }

    #[test]
    fn flatness_is_evaluated_by_its_median_and_shown_for_all_connections_with_its_minimum() {
        let mut results = Results::default();
        for (connections, most) in [(1, 95), (4, 91), (64, 70)] {
            for (devices, rate) in [(10, 100), (1_000, most)] {
                results.connection_matrix.0.push(cell(Column::Batched { devices }, connections, rate));
            }
        }
        let all = evaluate(&results);
        let flat = all.last().unwrap();
        assert_eq!((flat.median(), flat.outcome()), (Some(0.91), "met"));
        assert_eq!(flat.format_values(), "0.910; by connections 1: 0.950, 4: 0.910, 64: 0.700; least 0.700");
    }
}
