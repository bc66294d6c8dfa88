//! Slow and half-open clients: connections that send little or nothing, which the server must close.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::history::ScenarioHistory;
use crate::replica::Replica;
use crate::time::load_factor;

/// Connections of each kind.
const EACH: usize = 100;

/// The server must close the connections within this time: its limit for a request's head (5 s) or for the whole request
/// (15 s), with a margin.
const LIMIT: Duration = Duration::from_secs(22);

/// The kind of a slow client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Behavior {
    /// Connects and sends nothing, like a half-open connection.
    Silent,
    /// Sends its head byte by byte.
    SlowHead,
    /// Sends a complete head, then its body byte by byte.
    SlowBody,
    /// Sends a head, and never its body.
    NoBody,
}

/// Opens all connections and waits until the server has closed them. One that stays open is a violation.
pub(crate) async fn run(replica: &Replica, history: &ScenarioHistory) -> anyhow::Result<String> {
    let address = replica.url.trim_start_matches("http://").to_owned();
    let (begun, mut clients) = (Instant::now(), JoinSet::new());
    for behavior in [Behavior::Silent, Behavior::SlowHead, Behavior::SlowBody, Behavior::NoBody] {
        for _ in 0..EACH {
            let (address, until) = (address.clone(), begun + LIMIT.mul_f64(load_factor()));
            clients.spawn(async move { (behavior, client(address, behavior, until).await) });
        }
    }
    let (mut longest, mut closed, mut still_open) = (Duration::ZERO, 0, BTreeMap::<Behavior, usize>::new());
    while let Some(client) = clients.join_next().await {
        let (behavior, closed_after) = client?;
        match closed_after {
            Ok(Some(closed_after)) => {
                closed += 1;
                longest = longest.max(closed_after);
            }
            Ok(None) => *still_open.entry(behavior).or_default() += 1,
            Err(error) => {
                history.violation(format!("a slow client cannot connect to {}: {error}", replica.name), Vec::new());
            }
        }
    }
    for (behavior, count) in still_open {
        let what = format!("{} did not close {count} of {EACH} slow connections: {behavior:?}", replica.name);
        history.violation(what, Vec::new());
    }
    Ok(format!("{closed} of {} closed by {} within {:.1} s", 4 * EACH, replica.name, longest.as_secs_f64()))
}

/// Runs one client. Returns when the server closed the connection; `None` if it did not.
async fn client(address: String, behavior: Behavior, until: Instant) -> std::io::Result<Option<Duration>> {
    let mut stream = TcpStream::connect(&address).await?;
    let begun = Instant::now();
    // A request that needs no credentials, so that the server waits for the body.
    let head = "POST /session/backchannel-logout HTTP/1.1\r\nHost: chaos\r\nContent-Length: 64\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    let (at_once, byte_by_byte) = match behavior {
        Behavior::Silent => ("", ""),
        Behavior::SlowHead => ("", head),
        Behavior::SlowBody => (head, "logout_token=0000000000000000000000000000000000000000000000000000"),
        Behavior::NoBody => (head, ""),
    };
    stream.write_all(at_once.as_bytes()).await?;
    let mut bytes = byte_by_byte.bytes();
    let mut received = [0; 1024];
    loop {
        let next = Instant::now() + Duration::from_millis(700);
        match timeout_at(next.min(until), stream.read(&mut received)).await {
            // A response may come first: only the end of the connection counts.
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return Ok(Some(begun.elapsed())),
            Err(_) if Instant::now() >= until => return Ok(None),
            Err(_) => {
                let Some(byte) = bytes.next() else { continue };
                if stream.write_all(&[byte]).await.is_err() {
                    return Ok(Some(begun.elapsed()));
                }
            }
        }
    }
}
