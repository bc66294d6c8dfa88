//! Report: the rows of the measurements, their names, and the ratios between them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measurement::{Latency, Measurement, Spread};

/// A measured server or reference. The order is that of the table. The aliases read files of earlier versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    #[serde(alias = "bare-polls")]
    BaselinePolls,
    PgPolls,
    Polls,
    #[serde(alias = "gathered-polls")]
    BatchedPolls,
    #[serde(alias = "single-polls")]
    UnbatchedPolls,
    #[serde(alias = "lone-gathered-polls")]
    BatchedPollsOneConnection,
    #[serde(alias = "lone-single-polls")]
    UnbatchedPollsOneConnection,
    PgCodes,
    Codes,
    PgClaims,
    Claims,
    #[serde(alias = "bare-beside")]
    SqliteBaselinePolls,
    #[serde(alias = "embedded-polls")]
    SqlitePolls,
    #[serde(alias = "embedded-codes")]
    SqliteCodes,
    CodesBeforeImport,
    CodesAfterImport,
    Copy,
    Import,
    PortalAlone,
    #[serde(alias = "portal-beside-bootstraps")]
    PortalDuringBootstraps,
    Bootstraps,
}

impl Row {
    pub(crate) const ALL: [Self; 21] = [
        Self::BaselinePolls,
        Self::PgPolls,
        Self::Polls,
        Self::BatchedPolls,
        Self::UnbatchedPolls,
        Self::BatchedPollsOneConnection,
        Self::UnbatchedPollsOneConnection,
        Self::PgCodes,
        Self::Codes,
        Self::PgClaims,
        Self::Claims,
        Self::SqliteBaselinePolls,
        Self::SqlitePolls,
        Self::SqliteCodes,
        Self::CodesBeforeImport,
        Self::CodesAfterImport,
        Self::Copy,
        Self::Import,
        Self::PortalAlone,
        Self::PortalDuringBootstraps,
        Self::Bootstraps,
    ];

    /// Whether it is the server on PostgreSQL with default settings, under the load of the run.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Polls | Self::BatchedPolls | Self::BatchedPollsOneConnection | Self::Codes | Self::Claims)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BaselinePolls => "poll: baseline handler",
            Self::PgPolls => "poll: pgbench, SELECT by key",
            Self::Polls => "poll: pos-server",
            Self::BatchedPolls => "poll: batching on",
            Self::UnbatchedPolls => "poll: batching off",
            Self::BatchedPollsOneConnection => "poll: on, 1 connection",
            Self::UnbatchedPollsOneConnection => "poll: off, 1 connection",
            Self::PgCodes => "code: pgbench, the write",
            Self::Codes => "code: pos-server",
            Self::PgClaims => "claim: pgbench, the statements",
            Self::Claims => "claim: pos-server",
            Self::SqliteBaselinePolls => "SQLite, poll: baseline handler",
            Self::SqlitePolls => "SQLite, poll: pos-server",
            Self::SqliteCodes => "SQLite, code: pos-server",
            Self::CodesBeforeImport => "code: before an import",
            Self::CodesAfterImport => "code: right after it",
            Self::Copy => "import: COPY, the same rows",
            Self::Import => "import: pos-server",
            Self::PortalAlone => "portal: alone",
            Self::PortalDuringBootstraps => "portal: during bootstraps",
            Self::Bootstraps => "bootstrap: of many at once",
        }
    }
}

/// The ratios of the report: dividend and divisor.
pub(crate) const RATIOS: [(Row, Row); 9] = [
    (Row::Polls, Row::BaselinePolls),
    (Row::Polls, Row::PgPolls),
    (Row::BatchedPolls, Row::UnbatchedPolls),
    (Row::BatchedPollsOneConnection, Row::UnbatchedPollsOneConnection),
    (Row::Codes, Row::PgCodes),
    (Row::Claims, Row::PgClaims),
    (Row::SqlitePolls, Row::SqliteBaselinePolls),
    (Row::CodesAfterImport, Row::CodesBeforeImport),
    (Row::Import, Row::Copy),
];

/// All measurements of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report(Vec<(Row, Measurement)>);

impl Report {
    pub(crate) fn add(&mut self, row: Row, measurement: Measurement) {
        eprintln!("  {:<32} {:>9.0} a second", row.name(), measurement.per_second());
        self.0.push((row, measurement));
    }

    /// The number of failures.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|(_, measurement)| measurement.failed).sum()
    }

    pub(crate) fn of(&self, row: Row) -> impl Iterator<Item = &Measurement> {
        self.0.iter().filter(move |(other, _)| *other == row).map(|(_, measurement)| measurement)
    }

    /// The ratio within each repetition, because conditions on the machine change between repetitions.
    pub(crate) fn ratios(&self, (ours, theirs): (Row, Row)) -> Vec<f64> {
        let pairs = self.of(ours).zip(self.of(theirs));
        pairs.map(|(ours, theirs)| ours.per_second() / theirs.per_second()).collect()
    }

    pub(crate) fn ratio(&self, rows: (Row, Row)) -> Option<Spread> {
        Spread::of(self.ratios(rows))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<32} {:>9} {:>17} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "", "a second", "(least – most)", "p50 ms", "p99 ms", "cpu µs", "RSS MiB", "peak MiB", "not 2xx"
        )?;
        for row in Row::ALL {
            let median = |number: &dyn Fn(&Measurement) -> Option<f64>| Spread::of(self.of(row).filter_map(number));
            let Some(rate) = median(&|measurement| Some(measurement.per_second())) else { continue };
            let latency = |part: fn(&Latency) -> std::time::Duration| {
                cell(median(&|measurement| measurement.latency.as_ref().map(|all| part(all).as_secs_f64() * 1e3)), 2)
            };
            let most = |kib: fn(&crate::machine::Memory) -> u64| {
                let mib = |memory: &crate::machine::Memory| kib(memory) as f64 / 1_024.0;
                median(&|measurement| measurement.memory.as_ref().map(mib)).map(|all| all.most)
            };
            writeln!(
                f,
                "{:<32} {:>9.0} {:>17} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                row.name(),
                rate.median,
                format!("({:.0} – {:.0})", rate.least, rate.most),
                latency(|all| all.p50),
                latency(|all| all.p99),
                cell(median(&Measurement::cpu_micros), 1),
                number(most(|memory| memory.now), 1),
                number(most(|memory| memory.peak), 1),
                self.of(row).map(|measurement| measurement.failed).sum::<u64>(),
            )?;
        }
        writeln!(f)?;
        for (ours, theirs) in RATIOS {
            if let Some(ratio) = self.ratio((ours, theirs)) {
                let name = format!("{} / {}", ours.name(), theirs.name());
                writeln!(f, "{name:<52} {:>6.3} ({:.3} – {:.3})", ratio.median, ratio.least, ratio.most)?;
            }
        }
        writeln!(f)
    }
}

fn cell(spread: Option<Spread>, digits: usize) -> String {
    number(spread.map(|spread| spread.median), digits)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn measurement(answered: u64, failed: u64) -> Measurement {
        Measurement { answered, failed, elapsed: Duration::from_secs(1), latency: None, cpu: None, memory: None }
    }

    #[test]
    fn ratios_are_computed_within_each_repetition_and_failures_are_summed() {
        let mut report = Report::default();
        for (theirs, ours) in [(100, 50), (200, 150), (400, 100)] {
            report.add(Row::PgCodes, measurement(theirs, 0));
            report.add(Row::Codes, measurement(ours, 2));
        }
        let expected = Spread { median: 0.5, least: 0.25, most: 0.75 };
        assert_eq!(report.ratio((Row::Codes, Row::PgCodes)), Some(expected));
        assert_eq!(report.ratio((Row::Claims, Row::PgClaims)), None);
        assert_eq!(report.failed(), 6);
        let text = report.to_string();
        assert!(text.contains("code: pos-server") && !text.contains("claim"), "{text}");
    }
}
