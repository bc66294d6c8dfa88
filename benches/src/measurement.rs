//! Measurement of one server or reference: rate, latency, CPU time and memory; and statistics over several.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Memory;

/// The result of one measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) answered: u64,
    /// Responses other than 2xx, broken connections, failed transactions.
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Option<Latency>,
    /// CPU time of the server process; `None` for PostgreSQL, which has many processes.
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<Memory>,
}

/// The median and the 99th percentile.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Latency {
    /// Computes the percentiles of latencies in any order; `None` without latencies.
    pub(crate) fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50: at(50)?, p99: at(99)? })
    }
}

impl Measurement {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The same measurement with at most `effective` answers: those that had an effect.
    pub(crate) fn limited_to(self, effective: u64) -> Self {
        Self { answered: self.answered.min(effective), ..self }
    }

    pub(crate) fn p50_millis(&self) -> Option<f64> {
        Some(self.latency?.p50.as_secs_f64() * 1e3)
    }

    pub(crate) fn p99_millis(&self) -> Option<f64> {
        Some(self.latency?.p99.as_secs_f64() * 1e3)
    }

    /// Merges slices of one measurement. Each latency is the median of the slices. `None` without slices.
    pub(crate) fn merged(slices: &[Self]) -> Option<Self> {
        let last = slices.last()?;
        let part = |of: fn(&Latency) -> Duration| {
            let all = Spread::of(slices.iter().filter_map(|slice| Some(of(slice.latency.as_ref()?).as_secs_f64())));
            all.map(|all| Duration::from_secs_f64(all.median))
        };
        let latency = part(|all| all.p50).zip(part(|all| all.p99)).map(|(p50, p99)| Latency { p50, p99 });
        Some(Self {
            answered: slices.iter().map(|slice| slice.answered).sum(),
            failed: slices.iter().map(|slice| slice.failed).sum(),
            elapsed: slices.iter().map(|slice| slice.elapsed).sum(),
            latency,
            cpu: slices.iter().map(|slice| slice.cpu).sum(),
            memory: last.memory,
        })
    }

    /// CPU time of the server process for each answer, in microseconds.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        self.cpu.filter(|_| self.answered > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / self.answered as f64)
    }
}

/// Median, minimum and maximum of several numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` without numbers.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = numbers.into_iter().collect();
        all.sort_unstable_by(f64::total_cmp);
        let (lower, upper) = (all.get(all.len().saturating_sub(1) / 2)?, all.get(all.len() / 2)?);
        Some(Self { median: f64::midpoint(*lower, *upper), least: *all.first()?, most: *all.last()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_odd_even_and_no_numbers() {
        let spread = |median, least, most| Some(Spread { median, least, most });
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of([5.0]), spread(5.0, 5.0, 5.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn slices_are_merged_into_one_measurement() {
        let slice = |answered, millis| {
            let latency = Duration::from_millis(millis);
            let latency = Some(Latency { p50: latency, p99: latency * 10 });
            Measurement { answered, failed: 1, elapsed: Duration::from_secs(2), latency, cpu: None, memory: None }
        };
        let merged = Measurement::merged(&[slice(100, 1), slice(300, 9), slice(200, 2)]).unwrap();
        assert_eq!((merged.answered, merged.failed, merged.elapsed.as_secs()), (600, 3, 6));
        assert_eq!((merged.p99_millis(), merged.cpu), (Some(20.0), None));
        assert!(Measurement::merged(&[]).is_none());
    }

    #[test]
    fn percentiles_use_the_nearest_rank() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!((latency.p50.as_millis(), latency.p99.as_millis()), (100, 198));
        let single = Latency::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((single.p50.as_millis(), single.p99.as_millis()), (7, 7));
        assert!(Latency::of(Vec::new()).is_none());
    }
}
