//! How many answers there were, and how long they took. Each worker counts for itself, in a place of its own: a counter that all
//! share is what they would wait for most. Whoever asks is told the sum.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, Metric, MetricFamily};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// What was counted, by all who count. Clones count together.
#[derive(Clone)]
pub(super) struct Answered {
    names: Tally,
    counted: Arc<Mutex<Vec<Tally>>>,
}

/// What one of them counts.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) requests: IntCounterVec,
    pub(super) latency: HistogramVec,
}

impl Answered {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { names: Tally::new()?, counted: Arc::default() })
    }

    /// A place to count.
    pub(super) fn tally(&self) -> Tally {
        // The names were good the first time.
        let tally = Tally::new().unwrap_or_else(|_| self.names.clone());
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).push(tally.clone());
        tally
    }
}

impl Tally {
    fn new() -> Result<Self, prometheus::Error> {
        let requests = Opts::new("pos_http_requests_total", "Requests answered, by route, method and status.");
        let latency = HistogramOpts::new("pos_http_request_duration_seconds", "Time to answer, by route.");
        Ok(Self {
            requests: IntCounterVec::new(requests, &["route", "method", "status"])?,
            latency: HistogramVec::new(latency.buckets(BUCKETS.to_vec()), &["route"])?,
        })
    }
}

impl Collector for Tally {
    fn desc(&self) -> Vec<&Desc> {
        [self.requests.desc(), self.latency.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        [self.requests.collect(), self.latency.collect()].concat()
    }
}

impl Collector for Answered {
    fn desc(&self) -> Vec<&Desc> {
        self.names.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut all = self.names.collect();
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let each: Vec<_> = counted.iter().map(Tally::collect).collect();
        for (place, family) in all.iter_mut().enumerate() {
            let metrics = each.iter().filter_map(|families| families.get(place)).flat_map(MetricFamily::get_metric);
            family.set_metric(summed(metrics));
        }
        all
    }
}

fn summed<'m>(metrics: impl Iterator<Item = &'m Metric>) -> Vec<Metric> {
    let mut sums = BTreeMap::<Vec<&str>, Metric>::new();
    for metric in metrics {
        let labels = metric.get_label().iter().map(|label| label.value()).collect();
        sums.entry(labels).and_modify(|sum| add(sum, metric)).or_insert_with(|| metric.clone());
    }
    sums.into_values().collect()
}

fn add(sum: &mut Metric, one: &Metric) {
    let mut count = Counter::default();
    count.set_value(sum.get_counter().get_value() + one.get_counter().get_value());
    sum.set_counter(count);
    let (before, more) = (sum.get_histogram(), one.get_histogram());
    let mut histogram = Histogram::default();
    histogram.set_sample_count(before.get_sample_count() + more.get_sample_count());
    histogram.set_sample_sum(before.get_sample_sum() + more.get_sample_sum());
    let buckets = before.get_bucket().iter().zip(more.get_bucket()).map(|(before, more)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(before.upper_bound());
        bucket.set_cumulative_count(before.cumulative_count() + more.cumulative_count());
        bucket
    });
    histogram.set_bucket(buckets.collect());
    sum.set_histogram(histogram);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_count_is_told_as_one() {
        let answered = Answered::new().unwrap();
        let (one, other) = (answered.tally(), answered.tally());
        for (tally, route, seconds) in [(&one, "/a", 0.002), (&other, "/a", 0.2), (&other, "/b", 0.002)] {
            tally.requests.with_label_values(&[route, "GET", "200"]).inc();
            tally.latency.with_label_values(&[route]).observe(seconds);
        }
        one.requests.with_label_values(&["/a", "GET", "503"]).inc_by(5);
        let registry = prometheus::Registry::new();
        registry.register(Box::new(answered)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "pos_http_requests_total{method=\"GET\",route=\"/a\",status=\"200\"} 2",
            "pos_http_requests_total{method=\"GET\",route=\"/a\",status=\"503\"} 5",
            "pos_http_requests_total{method=\"GET\",route=\"/b\",status=\"200\"} 1",
            "pos_http_request_duration_seconds_bucket{route=\"/a\",le=\"0.0025\"} 1",
            "pos_http_request_duration_seconds_bucket{route=\"/a\",le=\"0.5\"} 2",
            "pos_http_request_duration_seconds_sum{route=\"/a\"} 0.202",
            "pos_http_request_duration_seconds_count{route=\"/a\"} 2",
            "pos_http_request_duration_seconds_count{route=\"/b\"} 1",
        ] {
            assert_eq!(text.lines().filter(|told| *told == line).count(), 1, "{line} in:\n{text}");
        }
    }
}
