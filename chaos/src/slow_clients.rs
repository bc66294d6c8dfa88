//! Hundreds of connections that say little or nothing, and should be closed by the server.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::ledger::Ledger;
use crate::replica::Replica;
use crate::time::patience;

/// Connections of each kind.
const EACH: usize = 100;

/// How long the server may let them be: its limit for a request's head (5 s) or for the whole request (15 s), and a
/// good margin.
const LIMIT: Duration = Duration::from_secs(22);

/// How a client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    /// It connects and says nothing, as one whose other end is gone.
    Mute,
    /// It sends its head byte by byte.
    SlowHead,
    /// It sends a whole head, and then its body byte by byte.
    SlowBody,
    /// It sends a head, and never its body.
    NoBody,
}

/// Opens them all and waits until the server has closed them. One that stays open is a violation.
pub(crate) async fn attack(replica: &Replica, ledger: &Ledger) -> anyhow::Result<String> {
    let address = replica.url.trim_start_matches("http://").to_owned();
    let (begun, mut clients) = (Instant::now(), JoinSet::new());
    for manner in [Manner::Mute, Manner::SlowHead, Manner::SlowBody, Manner::NoBody] {
        for _ in 0..EACH {
            let (address, until) = (address.clone(), begun + LIMIT.mul_f64(patience()));
            clients.spawn(async move { (manner, client(address, manner, until).await) });
        }
    }
    let (mut longest, mut closed, mut let_be) = (Duration::ZERO, 0, BTreeMap::<Manner, usize>::new());
    while let Some(client) = clients.join_next().await {
        let (manner, lived) = client?;
        match lived {
            Ok(Some(lived)) => {
                closed += 1;
                longest = longest.max(lived);
            }
            Ok(None) => *let_be.entry(manner).or_default() += 1,
            Err(error) => ledger.violation(format!("{} let a slow client not in: {error}", replica.name), Vec::new()),
        }
    }
    for (manner, count) in let_be {
        let what = format!("{} let {count} of {EACH} clients be that are slow: {manner:?}", replica.name);
        ledger.violation(what, Vec::new());
    }
    Ok(format!("{closed} of {} closed by {} within {:.1} s", 4 * EACH, replica.name, longest.as_secs_f64()))
}

/// How long it was until the server closed the connection; none when it did not.
async fn client(address: String, manner: Manner, until: Instant) -> std::io::Result<Option<Duration>> {
    let mut stream = TcpStream::connect(&address).await?;
    let begun = Instant::now();
    // A call that needs no credentials, so that the server waits for the body.
    let head = "POST /session/backchannel-logout HTTP/1.1\r\nHost: chaos\r\nContent-Length: 64\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    let (now, drop_by_drop) = match manner {
        Manner::Mute => ("", ""),
        Manner::SlowHead => ("", head),
        Manner::SlowBody => (head, "logout_token=0000000000000000000000000000000000000000000000000000"),
        Manner::NoBody => (head, ""),
    };
    stream.write_all(now.as_bytes()).await?;
    let mut bytes = drop_by_drop.bytes();
    let mut heard = [0; 1024];
    loop {
        let next = Instant::now() + Duration::from_millis(700);
        match timeout_at(next.min(until), stream.read(&mut heard)).await {
            // An answer may come first: what counts is that the connection ends.
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
