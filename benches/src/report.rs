//! The tables.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sample::{Latency, Sample, Spread};

/// What was measured. The order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    BarePolls,
    PgPolls,
    Polls,
    GatheredPolls,
    SinglePolls,
    LoneGatheredPolls,
    LoneSinglePolls,
    PgCodes,
    Codes,
    PgClaims,
    Claims,
    BareBeside,
    EmbeddedPolls,
    EmbeddedCodes,
    CodesBeforeImport,
    CodesAfterImport,
    Copy,
    Import,
    PortalAlone,
    PortalBesideBootstraps,
    Bootstraps,
}

impl Row {
    pub(crate) const ALL: [Self; 21] = [
        Self::BarePolls,
        Self::PgPolls,
        Self::Polls,
        Self::GatheredPolls,
        Self::SinglePolls,
        Self::LoneGatheredPolls,
        Self::LoneSinglePolls,
        Self::PgCodes,
        Self::Codes,
        Self::PgClaims,
        Self::Claims,
        Self::BareBeside,
        Self::EmbeddedPolls,
        Self::EmbeddedCodes,
        Self::CodesBeforeImport,
        Self::CodesAfterImport,
        Self::Copy,
        Self::Import,
        Self::PortalAlone,
        Self::PortalBesideBootstraps,
        Self::Bootstraps,
    ];

    /// Whether it is the server over PostgreSQL, as it ships, under the load of the run.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Polls | Self::GatheredPolls | Self::LoneGatheredPolls | Self::Codes | Self::Claims)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BarePolls => "poll: bare handler",
            Self::PgPolls => "poll: pgbench, SELECT by key",
            Self::Polls => "poll: pos-server",
            Self::GatheredPolls => "poll: gathering on",
            Self::SinglePolls => "poll: gathering off",
            Self::LoneGatheredPolls => "poll: on, 1 connection",
            Self::LoneSinglePolls => "poll: off, 1 connection",
            Self::PgCodes => "code: pgbench, the write",
            Self::Codes => "code: pos-server",
            Self::PgClaims => "claim: pgbench, the statements",
            Self::Claims => "claim: pos-server",
            Self::BareBeside => "SQLite, poll: bare handler",
            Self::EmbeddedPolls => "SQLite, poll: pos-server",
            Self::EmbeddedCodes => "SQLite, code: pos-server",
            Self::CodesBeforeImport => "code: before an import",
            Self::CodesAfterImport => "code: right after it",
            Self::Copy => "import: COPY, the same rows",
            Self::Import => "import: pos-server",
            Self::PortalAlone => "portal: alone",
            Self::PortalBesideBootstraps => "portal: beside bootstraps",
            Self::Bootstraps => "bootstrap: of many at once",
        }
    }
}

/// What is divided by what.
pub(crate) const RATIOS: [(Row, Row); 9] = [
    (Row::Polls, Row::BarePolls),
    (Row::Polls, Row::PgPolls),
    (Row::GatheredPolls, Row::SinglePolls),
    (Row::LoneGatheredPolls, Row::LoneSinglePolls),
    (Row::Codes, Row::PgCodes),
    (Row::Claims, Row::PgClaims),
    (Row::EmbeddedPolls, Row::BareBeside),
    (Row::CodesAfterImport, Row::CodesBeforeImport),
    (Row::Import, Row::Copy),
];

/// All measurements of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report(Vec<(Row, Sample)>);

impl Report {
    pub(crate) fn add(&mut self, row: Row, sample: Sample) {
        eprintln!("  {:<32} {:>9.0} a second", row.name(), sample.per_second());
        self.0.push((row, sample));
    }

    /// How much went wrong in all of it.
    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|(_, sample)| sample.failed).sum()
    }

    pub(crate) fn of(&self, row: Row) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |(other, _)| *other == row).map(|(_, sample)| sample)
    }

    /// Repetition by repetition, since neighbours in time share the machine's mood.
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
            let median = |number: &dyn Fn(&Sample) -> Option<f64>| Spread::of(self.of(row).filter_map(number));
            let Some(rate) = median(&|sample| Some(sample.per_second())) else { continue };
            let latency = |part: fn(&Latency) -> std::time::Duration| {
                cell(median(&|sample| sample.latency.as_ref().map(|all| part(all).as_secs_f64() * 1e3)), 2)
            };
            let most = |kib: fn(&crate::machine::Memory) -> u64| {
                median(&|sample| sample.memory.as_ref().map(|memory| kib(memory) as f64 / 1_024.0)).map(|all| all.most)
            };
            writeln!(
                f,
                "{:<32} {:>9.0} {:>17} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                row.name(),
                rate.median,
                format!("({:.0} – {:.0})", rate.least, rate.most),
                latency(|all| all.p50),
                latency(|all| all.p99),
                cell(median(&Sample::cpu_micros), 1),
                number(most(|memory| memory.now), 1),
                number(most(|memory| memory.peak), 1),
                self.of(row).map(|sample| sample.failed).sum::<u64>(),
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

    fn sample(answered: u64, failed: u64) -> Sample {
        Sample { answered, failed, elapsed: Duration::from_secs(1), latency: None, cpu: None, memory: None }
    }

    #[test]
    fn ratios_are_taken_repetition_by_repetition_and_failures_are_summed() {
        let mut report = Report::default();
        for (theirs, ours) in [(100, 50), (200, 150), (400, 100)] {
            report.add(Row::PgCodes, sample(theirs, 0));
            report.add(Row::Codes, sample(ours, 2));
        }
        let expected = Spread { median: 0.5, least: 0.25, most: 0.75 };
        assert_eq!(report.ratio((Row::Codes, Row::PgCodes)), Some(expected));
        assert_eq!(report.ratio((Row::Claims, Row::PgClaims)), None);
        assert_eq!(report.failed(), 6);
        let text = report.to_string();
        assert!(text.contains("code: pos-server") && !text.contains("claim"), "{text}");
    }
}
