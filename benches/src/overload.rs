//! Overload test: offers the server several times the rate that it can serve.
//!
//! A closed loop, in which each connection waits for its response, measures the capacity. Then an open loop sends calls at
//! a fixed rate, a multiple of the capacity, whether earlier calls were answered or not. A server without load shedding
//! answers fewer and fewer calls in time. A server that sheds load stays at its capacity and answers the other calls with
//! 503 within a bounded time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::fleet::{CODE, Fleet, POLL, terminal_request};
use crate::http_load::exchange;
use crate::measurement::Latency;
use crate::options::Run;
use crate::processes::ServerProcess;

/// Multiples of the capacity that are offered.
const MULTIPLES: [u32; 4] = [1, 2, 4, 8];

/// Number of connections in the open loop. A call that finds all of them busy is sent late. It exceeds the concurrency
/// limit and the queue that can be served in time; `scripts/bench` checks the limit of open files.
const CONNECTIONS: usize = 18_000;

/// A call that is later than this is not sent, so that a measurement ends.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// Time limit for a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);

/// The results of one connection, or of all.
#[derive(Debug, Default)]
struct Outcome {
    /// Latencies of served calls.
    served: Vec<Duration>,
    /// Latencies of shed calls.
    shed: Vec<Duration>,
    /// Responses other than 2xx and 503, broken connections, missing responses.
    broken: u64,
    /// Calls that exceeded [`MAX_LATENESS`] and were not sent.
    late: u64,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.shed.extend(other.shed);
        self.broken += other.broken;
        self.late += other.late;
    }

    fn sent(&self) -> u64 {
        (self.served.len() + self.shed.len()) as u64 + self.broken
    }
}

/// When calls are due.
#[derive(Debug, Clone, Copy)]
enum Schedule {
    /// Closed loop: each connection sends the next call after the response, for this duration.
    Closed(Duration),
    /// Open loop: a call at each interval, up to this number.
    Open(Duration, u64),
}

struct Calls {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    next: AtomicU64,
    schedule: Schedule,
    start: Instant,
}

/// Measures polls and code requests, prints the results, and adds them to `all` row by row.
pub(crate) async fn run(
    server: &mut ServerProcess,
    fleet: Fleet,
    options: &Run,
    all: &mut Vec<Overload>,
) -> anyhow::Result<()> {
    for (method, path) in [POLL, CODE] {
        let requests: Vec<_> = fleet.polling().map(|device| terminal_request(method, path, device)).collect();
        let length = options.duration();
        let mut connections = unopened(options.connections as usize);
        let (warm_up, _) = load(server.address, &requests, Schedule::Closed(length), &mut connections).await?;
        let (outcome, elapsed) = load(server.address, &requests, Schedule::Closed(length), &mut connections).await?;
        anyhow::ensure!(!outcome.served.is_empty(), "no call was served");
        let capacity = outcome.served.len() as f64 / elapsed.as_secs_f64();
        let call = format!("{method} {path}");
        // Terminals have open connections when the overload begins: one call on each, at a quarter of the capacity.
        let mut connections = unopened(CONNECTIONS);
        let slow = Schedule::Open(Duration::from_secs_f64(4.0 / capacity), CONNECTIONS as u64);
        let (opening, _) = load(server.address, &requests, slow, &mut connections).await?;
        let broken = warm_up.broken + outcome.broken + opening.broken;
        let overload = Overload { call, callers: options.connections, capacity, broken, rows: Vec::new() };
        println!("overload: {}\n{}", overload.summary(), in_columns(&OverloadRow::HEADERS));
        all.push(overload);
        for multiple in MULTIPLES {
            let rate = capacity * f64::from(multiple);
            let total = (rate * length.as_secs_f64()) as u64;
            let schedule = Schedule::Open(Duration::from_secs_f64(1.0 / rate), total);
            let (outcome, elapsed) = load(server.address, &requests, schedule, &mut connections).await?;
            let row = OverloadRow::of(multiple, elapsed, outcome);
            println!("{}", in_columns(&row.cells(capacity)));
            if let Some(overload) = all.last_mut() {
                overload.rows.push(row);
            }
            server.check_alive()?;
        }
        println!();
    }
    Ok(())
}

/// Connections that are opened with their first call.
fn unopened(count: usize) -> Vec<Option<TcpStream>> {
    std::iter::repeat_with(|| None).take(count).collect()
}

/// Sends calls on these connections, which stay open.
async fn load(
    address: SocketAddr,
    requests: &[Vec<u8>],
    schedule: Schedule,
    connections: &mut Vec<Option<TcpStream>>,
) -> anyhow::Result<(Outcome, Duration)> {
    let start = Instant::now();
    let calls = Arc::new(Calls { address, requests: requests.to_vec(), next: AtomicU64::new(0), schedule, start });
    let mut tasks = JoinSet::new();
    for connection in connections.drain(..) {
        tasks.spawn(call(calls.clone(), connection));
    }
    let mut total = Outcome::default();
    while let Some(done) = tasks.join_next().await {
        let (outcome, connection) = done.context("a connection's task")?;
        total.add(outcome);
        connections.push(connection);
    }
    Ok((total, start.elapsed()))
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Calls {
    /// The next call and when it is due; `None` at the end.
    fn next(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.schedule {
            Schedule::Closed(length) => {
                let now = Instant::now();
                (now - self.start < length).then_some((number, now))
            }
            Schedule::Open(interval, total) => {
                (number < total).then(|| (number, self.start + interval.mul_f64(number as f64)))
            }
        }
    }
}

async fn call(calls: Arc<Calls>, mut connection: Option<TcpStream>) -> (Outcome, Option<TcpStream>) {
    let (mut outcome, mut buffer) = (Outcome::default(), Vec::with_capacity(4_096));
    while let Some((number, due)) = calls.next() {
        sleep_until(due.into()).await;
        if due.elapsed() > MAX_LATENESS {
            outcome.late += 1;
            continue;
        }
        let index = usize::try_from(number).unwrap_or(0) % calls.requests.len().max(1);
        let Some(request) = calls.requests.get(index) else { break };
        // Opened with its first call, because the server closes connections without requests.
        let mut stream = match connection.take() {
            Some(open) => open,
            None => match timeout(RESPONSE_TIMEOUT, connect(calls.address)).await {
                Ok(Ok(open)) => open,
                Ok(Err(_)) | Err(_) => {
                    outcome.broken += 1;
                    continue;
                }
            },
        };
        match timeout(RESPONSE_TIMEOUT, exchange(&mut stream, request, &mut buffer)).await {
            // The latency starts when the call was due, not when it was sent: waiting here for a free connection is
            // caused by the server's slow responses, and a real caller would also have waited.
            Ok(Ok(200..300)) => outcome.served.push(due.elapsed()),
            Ok(Ok(503)) => outcome.shed.push(due.elapsed()),
            Ok(Ok(_)) => outcome.broken += 1,
            Ok(Err(_)) | Err(_) => {
                outcome.broken += 1;
                continue;
            }
        }
        connection = Some(stream);
    }
    (outcome, connection)
}

/// The results of one kind of call. The aliases read files of earlier versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Overload {
    call: String,
    /// Number of connections in the closed loop that measured the capacity.
    callers: u32,
    /// Served calls per second in the closed loop.
    pub(crate) capacity: f64,
    /// Broken calls while the capacity was measured.
    broken: u64,
    #[serde(alias = "lines")]
    pub(crate) rows: Vec<OverloadRow>,
}

impl Overload {
    pub(crate) fn summary(&self) -> String {
        let Self { call, callers, capacity, broken, .. } = self;
        let broken = if *broken == 0 { String::new() } else { format!(", and {broken} broken") };
        format!(
            "{call}: capacity {capacity:.0} a second with {callers} callers{broken}; then up to {CONNECTIONS} connections"
        )
    }

    /// The number of broken calls.
    pub(crate) fn broken(&self) -> u64 {
        self.broken + self.rows.iter().map(|row| row.broken).sum::<u64>()
    }
}

/// A row of the table: the results at one multiple of the capacity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OverloadRow {
    multiple: u32,
    elapsed: Duration,
    sent: u64,
    served: u64,
    #[serde(alias = "turned_away")]
    shed: u64,
    late: u64,
    broken: u64,
    /// From when a call was due to the end of its response.
    #[serde(alias = "served_within")]
    served_latency: Option<Latency>,
    #[serde(alias = "turned_away_within")]
    shed_latency: Option<Latency>,
}

impl OverloadRow {
    pub(crate) const HEADERS: [&'static str; 9] =
        ["offered", "sent", "served", "503", "p50 ms", "p99 ms", "503 p99 ms", "late", "broken"];

    fn of(multiple: u32, elapsed: Duration, outcome: Outcome) -> Self {
        Self {
            multiple,
            elapsed,
            sent: outcome.sent(),
            served: outcome.served.len() as u64,
            shed: outcome.shed.len() as u64,
            late: outcome.late,
            broken: outcome.broken,
            served_latency: Latency::of(outcome.served),
            shed_latency: Latency::of(outcome.shed),
        }
    }

    /// The columns of [`OverloadRow::HEADERS`]: offered, sent and served as multiples of the capacity, 503 as a share of
    /// the sent calls.
    pub(crate) fn cells(&self, capacity: f64) -> [String; 9] {
        let of_capacity = |count: u64| format!("{:.2}×", count as f64 / self.elapsed.as_secs_f64() / capacity);
        let millis = |all: Option<Latency>, part: fn(Latency) -> Duration| {
            all.map_or_else(|| "–".to_owned(), |all| format!("{:.1}", part(all).as_secs_f64() * 1e3))
        };
        [
            format!("{}×", self.multiple),
            of_capacity(self.sent),
            of_capacity(self.served),
            format!("{:.1} %", self.shed as f64 / self.sent.max(1) as f64 * 100.0),
            millis(self.served_latency, |all| all.p50),
            millis(self.served_latency, |all| all.p99),
            millis(self.shed_latency, |all| all.p99),
            self.late.to_string(),
            self.broken.to_string(),
        ]
    }
}

fn in_columns(cells: &[impl AsRef<str>]) -> String {
    cells.iter().map(|cell| format!("{:>10}", cell.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn outcome(broken: u64) -> Outcome {
        let served = vec![Duration::from_millis(10); 90];
        let shed = vec![Duration::from_millis(2); 270];
        Outcome { served, shed, broken, late: 7 }
    }

    /// One row, with this number of broken calls.
    pub(crate) fn overload_of(broken: u64) -> Overload {
        let rows = vec![OverloadRow::of(4, Duration::from_secs(1), outcome(broken))];
        Overload { call: "GET /".to_owned(), callers: 64, capacity: 100.0, broken: 0, rows }
    }

    #[test]
    fn a_row_shows_ratios_to_the_capacity() {
        let row = OverloadRow::of(4, Duration::from_secs(1), outcome(0));
        assert_eq!(row.cells(100.0), ["4×", "3.60×", "0.90×", "75.0 %", "10.0", "10.0", "2.0", "7", "0"]);
    }

    /// With one connection and a slow first response, the second call is sent late.
    #[tokio::test]
    async fn the_latency_of_a_late_call_starts_when_it_was_due() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for pause in [30, 0] {
                assert!(stream.read(&mut [0; 1_024]).await.unwrap() > 0);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        });
        let requests = [b"GET / HTTP/1.1\r\nhost: here\r\n\r\n".to_vec()];
        let schedule = Schedule::Open(Duration::from_millis(1), 2);
        let mut connection = unopened(1);
        let (outcome, _) = load(address, &requests, schedule, &mut connection).await.unwrap();
        assert!(connection.iter().all(Option::is_some), "it stays open");
        server.abort();
        // On a machine that stalls for a second the second call is not sent.
        assert_eq!((outcome.served.len() as u64 + outcome.late, outcome.broken), (2, 0));
        assert!(outcome.served.iter().all(|latency| *latency > Duration::from_millis(25)), "{:?}", outcome.served);
    }

    #[tokio::test]
    async fn calls_are_due_by_their_schedule_and_end() {
        let calls = |schedule| Calls {
            address: ([127, 0, 0, 1], 1).into(),
            requests: Vec::new(),
            next: AtomicU64::new(0),
            schedule,
            start: Instant::now(),
        };
        let open = calls(Schedule::Open(Duration::from_millis(10), 3));
        let due: Vec<_> = std::iter::from_fn(|| open.next()).map(|(_, due)| (due - open.start).as_millis()).collect();
        assert_eq!(due, [0, 10, 20]);
        assert!(calls(Schedule::Closed(Duration::ZERO)).next().is_none());
    }
}
