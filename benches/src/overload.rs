//! What the server does with several times the calls it can answer.
//!
//! First its capacity, by callers that each wait for their answer. Then calls come at a fixed pace, a multiple of that,
//! whether the ones before are answered or not. A server that queues to death answers fewer and fewer in time; one that
//! knows its bounds goes on at its capacity and tells the rest 503 at once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::children::Listening;
use crate::fleet::{Fleet, terminal_request};
use crate::http_load::whole_answer;
use crate::options::Run;
use crate::sample::Latency;

/// How many times its capacity the server is offered.
const MULTIPLES: [u32; 4] = [1, 2, 4, 8];

/// Connections that calls come on. A call that finds all of them waiting for answers comes late.
const CONNECTIONS: usize = 3_000;

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

/// Measures both kinds of a terminal's calls, and prints what came of them.
pub(crate) async fn run(server: &mut Listening, fleet: Fleet, options: &Run) -> anyhow::Result<()> {
    for (method, path) in [("GET", "/pos/status"), ("POST", "/pos/pairing-code")] {
        let requests: Vec<_> = fleet.polling().map(|device| terminal_request(method, path, device)).collect();
        let length = options.measurement();
        let connections = options.connections as usize;
        load(server.address, &requests, Pace::OneByOne(length), connections).await?;
        let (seen, elapsed) = load(server.address, &requests, Pace::OneByOne(length), connections).await?;
        anyhow::ensure!(!seen.served.is_empty(), "nothing is served");
        let capacity = seen.served.len() as f64 / elapsed.as_secs_f64();
        println!(
            "overload: {method} {path}; capacity {capacity:.0} a second with {connections} callers, {CONNECTIONS} connections"
        );
        println!("{}", Line::HEADER);
        for multiple in MULTIPLES {
            let rate = capacity * f64::from(multiple);
            let total = (rate * length.as_secs_f64()) as u64;
            let pace = Pace::Every(Duration::from_secs_f64(1.0 / rate), total);
            let (seen, elapsed) = load(server.address, &requests, pace, CONNECTIONS).await?;
            println!("{}", Line { multiple, capacity, elapsed, seen });
            server.check_alive()?;
        }
        println!();
    }
    Ok(())
}

async fn load(
    address: SocketAddr,
    requests: &[Vec<u8>],
    pace: Pace,
    connections: usize,
) -> anyhow::Result<(Seen, Duration)> {
    let start = Instant::now();
    let calls = Arc::new(Calls { address, requests: requests.to_vec(), next: AtomicU64::new(0), pace, start });
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(call(calls.clone()));
    }
    let mut seen = Seen::default();
    while let Some(done) = tasks.join_next().await {
        seen.add(done.context("a connection's task")?);
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

async fn call(calls: Arc<Calls>) -> Seen {
    let (mut seen, mut buffer) = (Seen::default(), Vec::with_capacity(4_096));
    let mut connection = None;
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
        let sent = Instant::now();
        match timeout(PATIENCE, exchange(&mut stream, request, &mut buffer)).await {
            Ok(Ok(200..300)) => seen.served.push(sent.elapsed()),
            Ok(Ok(503)) => seen.turned_away.push(sent.elapsed()),
            Ok(Ok(_)) => seen.broken += 1,
            Ok(Err(_)) | Err(_) => {
                seen.broken += 1;
                continue;
            }
        }
        connection = Some(stream);
    }
    seen
}

async fn exchange(stream: &mut TcpStream, request: &[u8], buffer: &mut Vec<u8>) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    buffer.clear();
    loop {
        anyhow::ensure!(stream.read_buf(buffer).await? > 0, "the server closed a connection");
        if let Some((status, _)) = whole_answer(buffer)? {
            return Ok(status);
        }
    }
}

/// One row of the table: what came of one multiple.
struct Line {
    multiple: u32,
    capacity: f64,
    elapsed: Duration,
    seen: Seen,
}

impl Line {
    const HEADER: &'static str = "   asked    sent  served     503   p50 ms   p99 ms  503 p99 ms    late  broken   (asked, sent, served: of capacity)";
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { multiple, capacity, elapsed, seen } = self;
        let of_capacity = |count: u64| count as f64 / elapsed.as_secs_f64() / capacity;
        let share = seen.turned_away.len() as f64 / seen.sent().max(1) as f64 * 100.0;
        let millis = |all: &[Duration], part: fn(&Latency) -> Duration| {
            Latency::of(all.to_vec())
                .map_or_else(|| "–".to_owned(), |all| format!("{:.1}", part(&all).as_secs_f64() * 1e3))
        };
        write!(
            f,
            "{:>7}× {:>6.2}× {:>6.2}× {share:>5.1} % {:>8} {:>8} {:>11} {:>7} {:>7}",
            multiple,
            of_capacity(seen.sent()),
            of_capacity(seen.served.len() as u64),
            millis(&seen.served, |all| all.p50),
            millis(&seen.served, |all| all.p99),
            millis(&seen.turned_away, |all| all.p99),
            seen.late,
            seen.broken,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_ratios_of_the_capacity() {
        let served = vec![Duration::from_millis(10); 90];
        let turned_away = vec![Duration::from_millis(2); 270];
        let seen = Seen { served, turned_away, broken: 0, late: 7 };
        let line = Line { multiple: 4, capacity: 100.0, elapsed: Duration::from_secs(1), seen }.to_string();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["4×", "3.60×", "0.90×", "75.0", "%", "10.0", "10.0", "2.0", "7", "0"]);
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
