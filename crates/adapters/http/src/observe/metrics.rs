//! Prometheus metrics, exposed by `/metrics` in the text format.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use time::OffsetDateTime;

use pos_port_storage::shared::PoolMonitor;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Metrics of the server. Clones share their values.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    codes_issued: IntCounter,
    claims: IntCounterVec,
    held_status_requests: IntGauge,
    shed: IntCounterVec,
    queued: IntCounterVec,
    queue_length: IntGaugeVec,
    pool: IntGaugeVec,
    dropped_updates: IntCounter,
    purged_rows: IntCounterVec,
    purge_runs: IntCounterVec,
    last_purge: IntGauge,
}

/// Outcome of a purge run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeRunEnd {
    /// All expired rows were deleted.
    Done,
    /// Another replica was running a purge.
    Busy,
    /// Some rows could not be deleted.
    Failed,
    /// A shutdown interrupted the run.
    Stopped,
}

/// Metrics of one route.
pub(crate) struct RouteMetrics {
    path: &'static str,
    requests: IntCounterVec,
    latency: HistogramVec,
}

/// Counter whose value is read from a function.
struct ExternalCounter {
    opts: Opts,
    desc: Desc,
    count: fn() -> u64,
}

impl Collector for ExternalCounter {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        IntCounter::with_opts(self.opts.clone()).map_or_else(
            |_| Vec::new(),
            |counter| {
                counter.inc_by((self.count)());
                counter.collect()
            },
        )
    }
}

/// Increments a gauge until it is dropped.
struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Metrics of the wait queue of one concurrency limiter.
pub(crate) struct QueueMetrics {
    pub(crate) shed: IntCounter,
    queued: IntCounter,
    length: IntGauge,
}

impl QueueMetrics {
    /// Counts a queued request. It is part of the queue length until the result is dropped.
    pub(crate) fn count_queued(&self) -> impl Drop + use<> {
        self.queued.inc();
        GaugeGuard::of(&self.length)
    }
}

impl Metrics {
    /// Creates and registers the metrics.
    ///
    /// # Errors
    /// If the name of a metric is invalid, which is a bug.
    pub fn new() -> Result<Self, prometheus::Error> {
        let requests = Opts::new("pos_http_requests_total", "HTTP requests answered, by route, method and status.");
        let latency = HistogramOpts::new("pos_http_request_duration_seconds", "Duration of HTTP requests, by route.");
        let claims = Opts::new("pos_claims_total", "Claims answered, by outcome.");
        let shed = Opts::new(
            "pos_http_requests_shed_total",
            "Requests answered 503 because of a concurrency limit, by class.",
        );
        let queued = Opts::new("pos_http_requests_queued_total", "Requests queued by a concurrency limit, by class.");
        let queue_length = Opts::new("pos_http_queue_length", "Requests currently queued, by class.");
        let pool = Opts::new("pos_storage_connections", "Connections of the storage pool, by state.");
        let purged_rows = Opts::new("pos_purged_rows_total", "Expired rows deleted, by kind.");
        let purge_runs = Opts::new("pos_purge_runs_total", "Purge runs, by outcome.");
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(requests, &["route", "method", "status"])?,
            latency: HistogramVec::new(latency.buckets(BUCKETS.to_vec()), &["route"])?,
            codes_issued: IntCounter::new("pos_pairing_codes_issued_total", "Pairing codes issued.")?,
            claims: IntCounterVec::new(claims, &["outcome"])?,
            held_status_requests: IntGauge::new("pos_waiting_terminals", "Status requests held until a change.")?,
            shed: IntCounterVec::new(shed, &["of"])?,
            queued: IntCounterVec::new(queued, &["of"])?,
            queue_length: IntGaugeVec::new(queue_length, &["of"])?,
            pool: IntGaugeVec::new(pool, &["state"])?,
            dropped_updates: IntCounter::new(
                "pos_storage_terminal_info_dropped_total",
                "Updates of terminal info dropped because their share of the connection pool was in use.",
            )?,
            purged_rows: IntCounterVec::new(purged_rows, &["kind"])?,
            purge_runs: IntCounterVec::new(purge_runs, &["outcome"])?,
            last_purge: IntGauge::new(
                "pos_purge_last_success_timestamp_seconds",
                "Time of the last complete purge by this server; 0 before the first.",
            )?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.latency.clone()))?;
        metrics.registry.register(Box::new(metrics.codes_issued.clone()))?;
        metrics.registry.register(Box::new(metrics.claims.clone()))?;
        metrics.registry.register(Box::new(metrics.held_status_requests.clone()))?;
        metrics.registry.register(Box::new(metrics.shed.clone()))?;
        metrics.registry.register(Box::new(metrics.queued.clone()))?;
        metrics.registry.register(Box::new(metrics.queue_length.clone()))?;
        metrics.registry.register(Box::new(metrics.pool.clone()))?;
        metrics.registry.register(Box::new(metrics.dropped_updates.clone()))?;
        metrics.registry.register(Box::new(metrics.purged_rows.clone()))?;
        metrics.registry.register(Box::new(metrics.purge_runs.clone()))?;
        metrics.registry.register(Box::new(metrics.last_purge.clone()))?;
        Ok(metrics)
    }

    /// Registers a counter of dropped log lines, read from `count`.
    ///
    /// # Errors
    /// If it is already registered.
    pub fn with_dropped_log_lines(self, count: fn() -> u64) -> Result<Self, prometheus::Error> {
        let help = "Log lines dropped because standard error was not read in time or could not be written.";
        let opts = Opts::new("pos_log_lines_dropped_total", help);
        let desc = opts.describe()?;
        self.registry.register(Box::new(ExternalCounter { opts, desc, count }))?;
        Ok(self)
    }

    pub(crate) fn code_issued(&self) {
        self.codes_issued.inc();
    }

    pub(crate) fn claim(&self, outcome: &'static str) {
        self.claims.with_label_values(&[outcome]).inc();
    }

    /// Counts expired rows of a kind that were deleted.
    pub fn purged(&self, kind: &'static str, rows: u64) {
        self.purged_rows.with_label_values(&[kind]).inc_by(rows);
    }

    /// Counts a purge run.
    pub fn purge_run(&self, end: PurgeRunEnd, now: OffsetDateTime) {
        let outcome = match end {
            PurgeRunEnd::Done => "done",
            PurgeRunEnd::Busy => "elsewhere",
            PurgeRunEnd::Failed => "failed",
            PurgeRunEnd::Stopped => "stopped",
        };
        self.purge_runs.with_label_values(&[outcome]).inc();
        if end == PurgeRunEnd::Done {
            self.last_purge.set(now.unix_timestamp());
        }
    }

    /// Returns the queue metrics of one class of traffic.
    pub(crate) fn queue(&self, of: &'static str) -> QueueMetrics {
        QueueMetrics {
            shed: self.shed.with_label_values(&[of]),
            queued: self.queued.with_label_values(&[of]),
            length: self.queue_length.with_label_values(&[of]),
        }
    }

    /// Counts a held status request until the result is dropped.
    pub(crate) fn count_held_status(&self) -> impl Drop + use<> {
        GaugeGuard::of(&self.held_status_requests)
    }

    pub(crate) fn route(&self, path: &'static str) -> RouteMetrics {
        RouteMetrics { path, requests: self.requests.clone(), latency: self.latency.clone() }
    }

    /// Renders all metrics as text, with the current state of the pool.
    pub(crate) fn render(&self, monitor: &dyn PoolMonitor) -> Result<Vec<u8>, prometheus::Error> {
        let pool = monitor.state();
        self.dropped_updates.inc_by(monitor.take_dropped_updates());
        for (state, count) in
            [("max", pool.max), ("open", pool.size), ("idle", pool.available), ("waiting", pool.waiting)]
        {
            self.pool.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl RouteMetrics {
    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    pub(crate) fn observe(&self, method: &Method, status: StatusCode, elapsed: Duration) {
        self.latency.with_label_values(&[self.path]).observe(elapsed.as_secs_f64());
        self.count(method, status);
    }

    /// Counts a response without its duration: one that took no time would distort the histogram.
    pub(crate) fn count(&self, method: &Method, status: StatusCode) {
        self.requests.with_label_values(&[self.path, known_method(method), status.as_str()]).inc();
    }
}

/// Returns `other` for unknown methods: callers may send any method, and label values must be bounded.
fn known_method(method: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "other" }
}
