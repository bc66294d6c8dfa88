//! What the server does with several times the calls it can answer.
//!
//! First its capacity, by callers that each wait for their answer. Then calls come at a fixed pace, a multiple of that,
//! whether the ones before are answered or not. A server that queues to death answers fewer and fewer in time; one that
//! knows its bounds goes on at its capacity and tells the rest 503 within a bounded time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::children::Listening;
use crate::fleet::{Fleet, terminal_request};
use crate::http_load::exchange;
use crate::options::Run;
use crate::sample::Latency;

/// How many times its capacity the server is offered.
const MULTIPLES: [u32; 4] = [1, 2, 4, 8];

/// Connections that calls come on. A call that finds all of them waiting for answers comes late. More than there are places,
/// and those who can be served while they stand in line; `scripts/bench` sees that so many files may be open.
const CONNECTIONS: usize = 18_000;

/// A call that is so late is not sent any more, so that a measurement ends.
const TOO_LATE: Duration = Duration::from_secs(1);

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one connection, or all of them, saw.
#[derive(Debug, Default)]
struct Seen {
    served: Vec<Duration>,
    turned_away: Vec<Duration>,
    /// Answers other than 2xx and 503, connections that broke, answers that never came.
    broken: u64,
    /// Calls that were [`TOO_LATE`], and never sent.
    late: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.served.extend(other.served);
        self.turned_away.extend(other.turned_away);
        self.broken += other.broken;
        self.late += other.late;
    }

    fn sent(&self) -> u64 {
        (self.served.len() + self.turned_away.len()) as u64 + self.broken
    }
}

/// When calls come.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// The next once the one before is answered, for so long.
    OneByOne(Duration),
    /// So many in all, with so long between them.
    Every(Duration, u64),
}

struct Calls {
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    next: AtomicU64,
    pace: Pace,
    start: Instant,
}

/// Measures both kinds of a terminal's calls, prints what came of them, and adds it to `all` line by line.
pub(crate) async fn run(
    server: &mut Listening,
    fleet: Fleet,
    options: &Run,
    all: &mut Vec<Overload>,
) -> anyhow::Result<()> {
    for (method, path) in [("GET", "/pos/status"), ("POST", "/pos/pairing-code")] {
        let requests: Vec<_> = fleet.polling().map(|device| terminal_request(method, path, device)).collect();
        let length = options.measurement();
        let connections = options.connections as usize;
        let mut callers = none_open(connections);
        let (warm_up, _) = load(server.address, &requests, Pace::OneByOne(length), &mut callers).await?;
        let (seen, elapsed) = load(server.address, &requests, Pace::OneByOne(length), &mut callers).await?;
        anyhow::ensure!(!seen.served.is_empty(), "nothing is served");
        let capacity = seen.served.len() as f64 / elapsed.as_secs_f64();
        let call = format!("{method} {path}");
        // Terminals have their connections open when a storm begins: one call on each, at a pace that is easy to answer.
        let mut callers = none_open(CONNECTIONS);
        let easy = Pace::Every(Duration::from_secs_f64(4.0 / capacity), CONNECTIONS as u64);
        let (opening, _) = load(server.address, &requests, easy, &mut callers).await?;
        let broken = warm_up.broken + seen.broken + opening.broken;
        let overload = Overload { call, callers: options.connections, capacity, broken, lines: Vec::new() };
        println!("overload: {}\n{}", overload.in_words(), in_columns(&Line::HEADERS));
        all.push(overload);
        for multiple in MULTIPLES {
            let rate = capacity * f64::from(multiple);
            let total = (rate * length.as_secs_f64()) as u64;
            let pace = Pace::Every(Duration::from_secs_f64(1.0 / rate), total);
            let (seen, elapsed) = load(server.address, &requests, pace, &mut callers).await?;
            let line = Line::of(multiple, elapsed, seen);
            println!("{}", in_columns(&line.cells(capacity)));
            if let Some(overload) = all.last_mut() {
                overload.lines.push(line);
            }
            server.check_alive()?;
        }
        println!();
    }
    Ok(())
}

/// So many connections, each of which is opened with its first call.
fn none_open(count: usize) -> Vec<Option<TcpStream>> {
    std::iter::repeat_with(|| None).take(count).collect()
}

/// Calls on these connections; they stay open.
async fn load(
    address: SocketAddr,
    requests: &[Vec<u8>],
    pace: Pace,
    connections: &mut Vec<Option<TcpStream>>,
) -> anyhow::Result<(Seen, Duration)> {
    let start = Instant::now();
    let calls = Arc::new(Calls { address, requests: requests.to_vec(), next: AtomicU64::new(0), pace, start });
    let mut tasks = JoinSet::new();
    for connection in connections.drain(..) {
        tasks.spawn(call(calls.clone(), connection));
    }
    let mut seen = Seen::default();
    while let Some(done) = tasks.join_next().await {
        let (by_one, connection) = done.context("a connection's task")?;
        seen.add(by_one);
        connections.push(connection);
    }
    Ok((seen, start.elapsed()))
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Calls {
    /// The next call and when it is due; none once there are no more.
    fn next(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match self.pace {
            Pace::OneByOne(length) => {
                let now = Instant::now();
                (now - self.start < length).then_some((number, now))
            }
            Pace::Every(interval, total) => {
                (number < total).then(|| (number, self.start + interval.mul_f64(number as f64)))
            }
        }
    }
}

async fn call(calls: Arc<Calls>, mut connection: Option<TcpStream>) -> (Seen, Option<TcpStream>) {
    let (mut seen, mut buffer) = (Seen::default(), Vec::with_capacity(4_096));
    while let Some((number, due)) = calls.next() {
        sleep_until(due.into()).await;
        if due.elapsed() > TOO_LATE {
            seen.late += 1;
            continue;
        }
        let place = usize::try_from(number).unwrap_or(0) % calls.requests.len().max(1);
        let Some(request) = calls.requests.get(place) else { break };
        // Opened with its first call: the server closes one on which nothing comes.
        let mut stream = match connection.take() {
            Some(open) => open,
            None => match timeout(PATIENCE, connect(calls.address)).await {
                Ok(Ok(open)) => open,
                Ok(Err(_)) | Err(_) => {
                    seen.broken += 1;
                    continue;
                }
            },
        };
        match timeout(PATIENCE, exchange(&mut stream, request, &mut buffer)).await {
            // Since it was due, not since it was sent: what it waited here for a free connection, behind answers that do
            // not come, is the server's doing, and a caller in the field would have waited it too.
            Ok(Ok(200..300)) => seen.served.push(due.elapsed()),
            Ok(Ok(503)) => seen.turned_away.push(due.elapsed()),
            Ok(Ok(_)) => seen.broken += 1,
            Ok(Err(_)) | Err(_) => {
                seen.broken += 1;
                continue;
            }
        }
        connection = Some(stream);
    }
    (seen, connection)
}

/// What came of one kind of call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Overload {
    call: String,
    /// How many callers, each waiting for its answer, the capacity was measured with.
    callers: u32,
    /// How many of these calls the server answers a second.
    pub(crate) capacity: f64,
    /// What broke while the capacity was measured.
    broken: u64,
    pub(crate) lines: Vec<Line>,
}

impl Overload {
    pub(crate) fn in_words(&self) -> String {
        let Self { call, callers, capacity, broken, .. } = self;
        let broken = if *broken == 0 { String::new() } else { format!(", and {broken} broken") };
        format!(
            "{call}: capacity {capacity:.0} a second with {callers} callers{broken}; then up to {CONNECTIONS} connections"
        )
    }

    /// How much went wrong in all of it.
    pub(crate) fn broken(&self) -> u64 {
        self.broken + self.lines.iter().map(|line| line.broken).sum::<u64>()
    }
}

/// One row of the table: what came of one multiple.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    multiple: u32,
    elapsed: Duration,
    sent: u64,
    served: u64,
    turned_away: u64,
    late: u64,
    broken: u64,
    /// From when a call was due to the end of its answer.
    served_within: Option<Latency>,
    turned_away_within: Option<Latency>,
}

impl Line {
    pub(crate) const HEADERS: [&'static str; 9] =
        ["asked", "sent", "served", "503", "p50 ms", "p99 ms", "503 p99 ms", "late", "broken"];

    fn of(multiple: u32, elapsed: Duration, seen: Seen) -> Self {
        Self {
            multiple,
            elapsed,
            sent: seen.sent(),
            served: seen.served.len() as u64,
            turned_away: seen.turned_away.len() as u64,
            late: seen.late,
            broken: seen.broken,
            served_within: Latency::of(seen.served),
            turned_away_within: Latency::of(seen.turned_away),
        }
    }

    /// What [`Line::HEADERS`] names: asked, sent and served as parts of the capacity, 503 as a part of what was sent.
    pub(crate) fn cells(&self, capacity: f64) -> [String; 9] {
        let of_capacity = |count: u64| format!("{:.2}×", count as f64 / self.elapsed.as_secs_f64() / capacity);
        let millis = |all: Option<Latency>, part: fn(Latency) -> Duration| {
            all.map_or_else(|| "–".to_owned(), |all| format!("{:.1}", part(all).as_secs_f64() * 1e3))
        };
        [
            format!("{}×", self.multiple),
            of_capacity(self.sent),
            of_capacity(self.served),
            format!("{:.1} %", self.turned_away as f64 / self.sent.max(1) as f64 * 100.0),
            millis(self.served_within, |all| all.p50),
            millis(self.served_within, |all| all.p99),
            millis(self.turned_away_within, |all| all.p99),
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

    fn seen(broken: u64) -> Seen {
        let served = vec![Duration::from_millis(10); 90];
        let turned_away = vec![Duration::from_millis(2); 270];
        Seen { served, turned_away, broken, late: 7 }
    }

    /// One line, and so much that broke.
    pub(crate) fn overload_of(broken: u64) -> Overload {
        let lines = vec![Line::of(4, Duration::from_secs(1), seen(broken))];
        Overload { call: "GET /".to_owned(), callers: 64, capacity: 100.0, broken: 0, lines }
    }

    #[test]
    fn a_row_tells_ratios_of_the_capacity() {
        let line = Line::of(4, Duration::from_secs(1), seen(0));
        assert_eq!(line.cells(100.0), ["4×", "3.60×", "0.90×", "75.0 %", "10.0", "10.0", "2.0", "7", "0"]);
    }

    /// A server whose answer to the first call takes its time, and one connection: the second call is sent late.
    #[tokio::test]
    async fn a_call_that_waited_for_the_one_before_has_waited_since_it_was_due() {
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
        let pace = Pace::Every(Duration::from_millis(1), 2);
        let mut connection = none_open(1);
        let (seen, _) = load(address, &requests, pace, &mut connection).await.unwrap();
        assert!(connection.iter().all(Option::is_some), "it stays open");
        server.abort();
        // On a machine that stands still for a second the second one is not sent any more.
        assert_eq!((seen.served.len() as u64 + seen.late, seen.broken), (2, 0));
        assert!(seen.served.iter().all(|latency| *latency > Duration::from_millis(25)), "{:?}", seen.served);
    }

    #[tokio::test]
    async fn calls_come_at_their_pace_and_end() {
        let calls = |pace| Calls {
            address: ([127, 0, 0, 1], 1).into(),
            requests: Vec::new(),
            next: AtomicU64::new(0),
            pace,
            start: Instant::now(),
        };
        let paced = calls(Pace::Every(Duration::from_millis(10), 3));
        let due: Vec<_> = std::iter::from_fn(|| paced.next()).map(|(_, due)| (due - paced.start).as_millis()).collect();
        assert_eq!(due, [0, 10, 20]);
        assert!(calls(Pace::OneByOne(Duration::ZERO)).next().is_none());
    }
}
