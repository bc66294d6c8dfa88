//! A TCP proxy on loopback that can be told to cut, to delay and to go silent: the network between a server and its
//! database, at its worst. It knows nothing of what it carries.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// They go through.
    Open,
    /// They go through, each piece so much later.
    Slow(Duration),
    /// They stay here, and connections with them, until the line is another. New connections are accepted and say
    /// nothing.
    Silent,
    /// Connections are ended, and so is each new one.
    Cut,
}

/// The proxy. It ends when this is dropped, and with it every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    line: watch::Sender<Line>,
    carried: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of loopback, for connections to `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let line = watch::Sender::new(Line::Open);
        let carried = Arc::new(AtomicU64::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, line.clone(), carried.clone()));
        Ok(Self { address, line, carried, _accepting: accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line is like this, for connections that stand and for new ones.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// How many connections it has taken so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, line: watch::Sender<Line>, carried: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((inbound, _)) = listener.accept().await else { continue };
        carried.fetch_add(1, Ordering::Relaxed);
        connections.spawn(carry(inbound, target, line.subscribe()));
    }
}

/// One connection, until either side ends it or the line is cut.
async fn carry(inbound: TcpStream, target: SocketAddr, mut line: watch::Receiver<Line>) {
    let mut cut = line.clone();
    let both_ways = async {
        if line.wait_for(|line| *line != Line::Silent).await.is_err() {
            return;
        }
        let Ok(outbound) = TcpStream::connect(target).await else { return };
        // Small pieces must not wait for each other here: the line alone says how slow it is.
        let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
        let ((from_server, to_server), (from_target, to_target)) = (inbound.into_split(), outbound.into_split());
        // The first direction that ends takes the other with it.
        tokio::select! {
            () = pump(from_server, to_target, line.clone()) => {}
            () = pump(from_target, to_server, line.clone()) => {}
        }
    };
    tokio::select! {
        () = both_ways => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut piece).await else { return };
        let Ok(now) = line.wait_for(|line| *line != Line::Silent).await.map(|line| *line) else { return };
        if let Line::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, word: &[u8; 4]) {
        stream.write_all(word).await.unwrap();
        let mut heard = [0; 4];
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an echo").unwrap();
        assert_eq!(&heard, word);
    }

    #[tokio::test]
    async fn carries_both_ways_and_holds_back_what_comes_while_it_is_silent() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        says(&mut stream, b"open").await;
        proxy.set(Line::Slow(Duration::from_millis(1)));
        says(&mut stream, b"slow").await;
        proxy.set(Line::Silent);
        stream.write_all(b"held").await.unwrap();
        let mut heard = [0; 4];
        let early = timeout(Duration::from_millis(50), stream.read_exact(&mut heard)).await;
        assert!(early.is_err(), "nothing comes through");
        proxy.set(Line::Open);
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.expect("an echo").unwrap();
        assert_eq!((&heard, proxy.connections()), (b"held", 1));
    }

    #[tokio::test]
    async fn a_cut_ends_the_connections_that_stand_and_every_new_one() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        says(&mut stream, b"open").await;
        proxy.set(Line::Cut);
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("an end");
        assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        let ended = timeout(PATIENCE, new.read_to_end(&mut rest)).await.expect("an end");
        assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
        proxy.set(Line::Open);
        says(&mut TcpStream::connect(proxy.address()).await.unwrap(), b"open").await;
    }
}
