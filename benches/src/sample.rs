//! One measurement, and several of a kind taken together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::Memory;

/// What one measurement of one thing told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) answered: u64,
    /// Answers other than 2xx, connections that broke, transactions that failed.
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latency: Option<Latency>,
    /// Of the process that answered; none for PostgreSQL, which is many.
    pub(crate) cpu: Option<Duration>,
    pub(crate) memory: Option<Memory>,
}

/// How long half of the answers took at most, and 99 of 100.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Latency {
    /// Of latencies in any order; none of none.
    pub(crate) fn of(mut all: Vec<Duration>) -> Option<Self> {
        all.sort_unstable();
        let at = |percent: usize| all.get((all.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Some(Self { p50: at(50)?, p99: at(99)? })
    }
}

impl Sample {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// The same, when fewer than were answered had an effect.
    pub(crate) fn of_which(self, effective: u64) -> Self {
        Self { answered: self.answered.min(effective), ..self }
    }

    pub(crate) fn p50_millis(&self) -> Option<f64> {
        Some(self.latency?.p50.as_secs_f64() * 1e3)
    }

    pub(crate) fn p99_millis(&self) -> Option<f64> {
        Some(self.latency?.p99.as_secs_f64() * 1e3)
    }

    /// Several slices of one measurement. Their latencies are the medians of the slices'. None of none.
    pub(crate) fn joined(slices: &[Self]) -> Option<Self> {
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

    /// Processor time of the answering process for each answer, in microseconds.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        self.cpu.filter(|_| self.answered > 0).map(|cpu| cpu.as_secs_f64() * 1e6 / self.answered as f64)
    }
}

/// The middle of several numbers, and the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None of none.
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
    fn the_spread_of_odd_even_and_no_numbers() {
        let spread = |median, least, most| Some(Spread { median, least, most });
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Spread::of([5.0]), spread(5.0, 5.0, 5.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn slices_are_one_measurement() {
        let slice = |answered, millis| {
            let latency = Duration::from_millis(millis);
            let latency = Some(Latency { p50: latency, p99: latency * 10 });
            Sample { answered, failed: 1, elapsed: Duration::from_secs(2), latency, cpu: None, memory: None }
        };
        let joined = Sample::joined(&[slice(100, 1), slice(300, 9), slice(200, 2)]).unwrap();
        assert_eq!((joined.answered, joined.failed, joined.elapsed.as_secs()), (600, 3, 6));
        assert_eq!((joined.p99_millis(), joined.cpu), (Some(20.0), None));
        assert!(Sample::joined(&[]).is_none());
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latency = Latency::of((1..=200).rev().map(Duration::from_millis).collect()).unwrap();
        assert_eq!((latency.p50.as_millis(), latency.p99.as_millis()), (100, 198));
        let single = Latency::of(vec![Duration::from_millis(7)]).unwrap();
        assert_eq!((single.p50.as_millis(), single.p99.as_millis()), (7, 7));
        assert!(Latency::of(Vec::new()).is_none());
    }
}
