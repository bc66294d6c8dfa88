//! The targets, and whether a run met them. A missed target is told, and fails nothing: a figure is no test.

use std::fmt;

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
    /// One of each repetition; for the tables, one of each number of connections.
    pub(crate) values: Vec<f64>,
    digits: usize,
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
        self.values.iter().map(|value| format!("{value:.*}", self.digits)).collect::<Vec<_>>().join(" ")
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
    let at_least = |name, target, values| Verdict { name, good: Good::AtLeast, target, values, digits: 3 };
    let at_most = |name, target, values, digits| Verdict { name, good: Good::AtMost, target, values, digits };
    vec![
        at_least("status / bare handler", 0.60, report.ratios((Row::Polls, Row::BarePolls))),
        at_least("status / gathering off", 2.0, report.ratios((Row::GatheredPolls, Row::SinglePolls))),
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
        at_least("codes / pgbench, the write", 1.8, report.ratios((Row::Codes, Row::PgCodes))),
        at_least("claims / pgbench, the statements", 0.8, report.ratios((Row::Claims, Row::PgClaims))),
        at_most("peak resident memory, MiB", 40.0, memory(report), 1),
        at_least("status of bare, most devices / fewest", 0.90, results.grid.flatness()),
    ]
}

fn p99s(report: &Report, ours: Row, theirs: Row) -> Vec<f64> {
    let pairs = report.of(ours).zip(report.of(theirs));
    pairs.filter_map(|(ours, theirs)| Some(ours.p99_millis()? / theirs.p99_millis()?)).collect()
}

/// The most the server ever held, by the end of each repetition of whatever load took it furthest. The tables, which
/// are another load, come later.
fn memory(report: &Report) -> Vec<f64> {
    let peak = |sample: &Sample| sample.memory.map(|memory| memory.peak as f64 / 1_024.0);
    let ours = || Row::ALL.into_iter().filter(|row| row.is_ours());
    let repetitions = ours().map(|row| report.of(row).count()).max().unwrap_or(0);
    let of = |repetition| ours().filter_map(move |row| report.of(row).nth(repetition).and_then(peak));
    (0..repetitions).filter_map(|repetition| of(repetition).max_by(f64::total_cmp)).collect()
}

/// The verdicts as lines of a table.
pub(crate) struct InLines<'v>(pub(crate) &'v [Verdict]);

impl fmt::Display for InLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>7} {:>8}  {:<12} measured", "target", "", "median", "")?;
        for verdict in self.0 {
            writeln!(
                f,
                "{:<44} {:>7} {:>8}  {:<12} {}",
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
    use crate::machine::Memory;

    fn sample(answered: u64, peak_mib: u64) -> Sample {
        let memory = Some(Memory { now: 0, peak: peak_mib * 1_024 });
        Sample { answered, failed: 0, elapsed: Duration::from_secs(1), latency: None, cpu: None, memory }
    }

    #[test]
    fn the_median_decides_and_what_was_not_measured_is_neither_met_nor_missed() {
        let mut results = Results::default();
        for (bare, ours, write, codes) in [(100, 59, 10, 18), (100, 61, 10, 17), (100, 60, 10, 30)] {
            results.report.add(Row::BarePolls, sample(bare, 90));
            results.report.add(Row::Polls, sample(ours, 39));
            results.report.add(Row::PgCodes, sample(write, 0));
            results.report.add(Row::Codes, sample(codes, 41));
        }
        let all = verdicts(&results);
        let of = |name: &str| all.iter().find(|verdict| verdict.name.starts_with(name)).unwrap();
        assert_eq!((of("status / bare").is_met(), of("status / bare").median()), (Some(true), Some(0.6)));
        assert_eq!(of("codes").values, vec![1.8, 1.7, 3.0]);
        assert_eq!(of("codes").outcome(), "met");
        assert_eq!((of("peak").values.clone(), of("peak").outcome()), (vec![41.0; 3], "MISSED"));
        assert_eq!(of("claims").outcome(), "not measured");
        let text = InLines(&all).to_string();
        assert!(text.contains("≥ 0.60    0.600  met          0.590 0.610 0.600"), "{text}");
    }
}
