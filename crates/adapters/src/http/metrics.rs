//! What `/metrics` tells, in Prometheus' text format.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus::core::{Collector, Desc, Describer as _};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use time::OffsetDateTime;

use crate::storage::PoolMonitor;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The server's counters. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    codes_issued: IntCounter,
    claims: IntCounterVec,
    waiting: IntGauge,
    turned_away: IntCounterVec,
    lined_up: IntCounterVec,
    in_line: IntGaugeVec,
    pool: IntGaugeVec,
    dropped_updates: IntCounter,
    reclaimed: IntCounterVec,
    reclaim_rounds: IntCounterVec,
    reclaim_success: IntGauge,
}

/// How a round of removing rows that are over has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReclaimRoundEnd {
    /// All of them are gone.
    Done,
    /// Another replica was at it.
    Elsewhere,
    /// Some could not be removed.
    Failed,
    /// The server stopped.
    Stopped,
}

/// The counters of one route.
pub(super) struct RouteMetrics {
    path: &'static str,
    requests: IntCounterVec,
    latency: HistogramVec,
}

/// A counter whose value is kept elsewhere.
struct CountedElsewhere {
    opts: Opts,
    desc: Desc,
    count: fn() -> u64,
}

impl Collector for CountedElsewhere {
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

/// One more in a gauge until it is dropped.
struct Counted(IntGauge);

impl Counted {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The line for the places of one kind of caller.
pub(super) struct LineMetrics {
    pub(super) turned_away: IntCounter,
    lined_up: IntCounter,
    standing: IntGauge,
}

impl LineMetrics {
    /// Counts a call that lines up, and as one that stands there until the answer is dropped.
    pub(super) fn line_up(&self) -> impl Drop + use<> {
        self.lined_up.inc();
        Counted::of(&self.standing)
    }
}

impl Metrics {
    /// A fresh set.
    ///
    /// # Errors
    /// When a metric's name is not valid: a fault of the program, seen at start.
    pub fn new() -> Result<Self, prometheus::Error> {
        let requests = Opts::new("pos_http_requests_total", "Requests answered, by route, method and status.");
        let latency = HistogramOpts::new("pos_http_request_duration_seconds", "Time to answer, by route.");
        let claims = Opts::new("pos_claims_total", "Claims answered, by outcome.");
        let turned_away =
            Opts::new("pos_http_turned_away_total", "Calls answered 503 because too many were under way.");
        let lined_up = Opts::new("pos_http_lined_up_total", "Calls that had to stand in line for a place.");
        let in_line = Opts::new("pos_http_calls_in_line", "Calls that stand in line for a place.");
        let pool = Opts::new("pos_storage_connections", "Connections to the store, by state.");
        let reclaimed = Opts::new("pos_reclaimed_rows_total", "Rows removed because they were over, by kind.");
        let rounds = Opts::new("pos_reclaim_rounds_total", "Rounds of removing rows that are over, by outcome.");
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(requests, &["route", "method", "status"])?,
            latency: HistogramVec::new(latency.buckets(BUCKETS.to_vec()), &["route"])?,
            codes_issued: IntCounter::new("pos_pairing_codes_issued_total", "Pairing codes issued.")?,
            claims: IntCounterVec::new(claims, &["outcome"])?,
            waiting: IntGauge::new("pos_waiting_terminals", "Terminals whose status is held back until it changes.")?,
            turned_away: IntCounterVec::new(turned_away, &["of"])?,
            lined_up: IntCounterVec::new(lined_up, &["of"])?,
            in_line: IntGaugeVec::new(in_line, &["of"])?,
            pool: IntGaugeVec::new(pool, &["state"])?,
            dropped_updates: IntCounter::new(
                "pos_storage_terminal_info_dropped_total",
                "Updates of terminal info that were dropped because others held their whole share of the connections.",
            )?,
            reclaimed: IntCounterVec::new(reclaimed, &["kind"])?,
            reclaim_rounds: IntCounterVec::new(rounds, &["outcome"])?,
            reclaim_success: IntGauge::new(
                "pos_reclaim_last_success_timestamp_seconds",
                "When this server last removed all rows that were over; 0 before the first time.",
            )?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.latency.clone()))?;
        metrics.registry.register(Box::new(metrics.codes_issued.clone()))?;
        metrics.registry.register(Box::new(metrics.claims.clone()))?;
        metrics.registry.register(Box::new(metrics.waiting.clone()))?;
        metrics.registry.register(Box::new(metrics.turned_away.clone()))?;
        metrics.registry.register(Box::new(metrics.lined_up.clone()))?;
        metrics.registry.register(Box::new(metrics.in_line.clone()))?;
        metrics.registry.register(Box::new(metrics.pool.clone()))?;
        metrics.registry.register(Box::new(metrics.dropped_updates.clone()))?;
        metrics.registry.register(Box::new(metrics.reclaimed.clone()))?;
        metrics.registry.register(Box::new(metrics.reclaim_rounds.clone()))?;
        metrics.registry.register(Box::new(metrics.reclaim_success.clone()))?;
        Ok(metrics)
    }

    /// Has lines of the log that were dropped among the metrics, as `count` tells them.
    ///
    /// # Errors
    /// When they are among them already.
    pub fn with_dropped_log_lines(self, count: fn() -> u64) -> Result<Self, prometheus::Error> {
        let help = "Log lines dropped because standard error was not read in time or cannot be written.";
        let opts = Opts::new("pos_log_lines_dropped_total", help);
        let desc = opts.describe()?;
        self.registry.register(Box::new(CountedElsewhere { opts, desc, count }))?;
        Ok(self)
    }

    pub(super) fn code_issued(&self) {
        self.codes_issued.inc();
    }

    pub(super) fn claim(&self, outcome: &'static str) {
        self.claims.with_label_values(&[outcome]).inc();
    }

    /// Counts rows of a kind that were removed because they were over.
    pub fn reclaimed(&self, kind: &'static str, rows: u64) {
        self.reclaimed.with_label_values(&[kind]).inc_by(rows);
    }

    /// Counts a round of removing such rows.
    pub fn reclaim_round(&self, end: ReclaimRoundEnd, now: OffsetDateTime) {
        let outcome = match end {
            ReclaimRoundEnd::Done => "done",
            ReclaimRoundEnd::Elsewhere => "elsewhere",
            ReclaimRoundEnd::Failed => "failed",
            ReclaimRoundEnd::Stopped => "stopped",
        };
        self.reclaim_rounds.with_label_values(&[outcome]).inc();
        if end == ReclaimRoundEnd::Done {
            self.reclaim_success.set(now.unix_timestamp());
        }
    }

    /// Those of one kind of caller for whom there was no place.
    pub(super) fn line(&self, of: &'static str) -> LineMetrics {
        LineMetrics {
            turned_away: self.turned_away.with_label_values(&[of]),
            lined_up: self.lined_up.with_label_values(&[of]),
            standing: self.in_line.with_label_values(&[of]),
        }
    }

    /// Counts a terminal as waiting until the answer is dropped.
    pub(super) fn terminal_waits(&self) -> impl Drop + use<> {
        Counted::of(&self.waiting)
    }

    pub(super) fn route(&self, path: &'static str) -> RouteMetrics {
        RouteMetrics { path, requests: self.requests.clone(), latency: self.latency.clone() }
    }

    /// All of it as text, with the pool as it stands now.
    pub(super) fn render(&self, monitor: &dyn PoolMonitor) -> Result<Vec<u8>, prometheus::Error> {
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
    pub(super) fn path(&self) -> &'static str {
        self.path
    }

    pub(super) fn observe(&self, method: &Method, status: StatusCode, elapsed: Duration) {
        self.latency.with_label_values(&[self.path]).observe(elapsed.as_secs_f64());
        self.count(method, status);
    }

    /// Counts an answer that took no time, which would only flatter the histogram.
    pub(super) fn count(&self, method: &Method, status: StatusCode) {
        self.requests.with_label_values(&[self.path, known_method(method), status.as_str()]).inc();
    }
}

/// A caller may invent methods; a label may not grow with them.
fn known_method(method: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "other" }
}
