//! Fault-injecting TCP proxy on loopback, for the network between a server and its database.
//!
//! It delays bytes, holds them back or closes connections. It does not parse the protocol.

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

/// How the proxy treats connections and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Forwards bytes at once.
    Open,
    /// Forwards each chunk after this delay.
    Slow(Duration),
    /// Holds bytes back until the state changes. New connections are accepted and receive nothing.
    Silent,
    /// Closes all connections and each new one.
    Cut,
}

/// A running proxy. Dropping it closes every connection through it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<LinkState>,
    accepted: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of loopback, for connections to `target`.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = watch::Sender::new(LinkState::Open);
        let accepted = Arc::new(AtomicU64::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, state.clone(), accepted.clone()));
        Ok(Self { address, state, accepted, _accepting: accepting })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the state of open and new connections.
    pub fn set(&self, state: LinkState) {
        self.state.send_replace(state);
    }

    /// The number of connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, state: watch::Sender<LinkState>, accepted: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((inbound, _)) = listener.accept().await else { continue };
        accepted.fetch_add(1, Ordering::Relaxed);
        connections.spawn(forward(inbound, target, state.subscribe()));
    }
}

/// Forwards one connection until either side closes it or the state becomes [`LinkState::Cut`].
async fn forward(inbound: TcpStream, target: SocketAddr, mut state: watch::Receiver<LinkState>) {
    let mut cut = state.clone();
    let both_directions = async {
        if state.wait_for(|state| *state != LinkState::Silent).await.is_err() {
            return;
        }
        let Ok(outbound) = TcpStream::connect(target).await else { return };
        // Nagle's algorithm must add no delay: only the state decides how slow the link is.
        let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
        let ((from_server, to_server), (from_target, to_target)) = (inbound.into_split(), outbound.into_split());
        // The direction that ends first ends the other.
        tokio::select! {
            () = pump(from_server, to_target, state.clone()) => {}
            () = pump(from_target, to_server, state.clone()) => {}
        }
    };
    tokio::select! {
        () = both_directions => {}
        _ = cut.wait_for(|state| *state == LinkState::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<LinkState>) {
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let Ok(now) = state.wait_for(|state| *state != LinkState::Silent).await.map(|state| *state) else { return };
        if let LinkState::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

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

    async fn assert_echo(stream: &mut TcpStream, message: &[u8; 4]) {
        stream.write_all(message).await.unwrap();
        let mut received = [0; 4];
        timeout(TIMEOUT, stream.read_exact(&mut received)).await.expect("an echo").unwrap();
        assert_eq!(&received, message);
    }

    #[tokio::test]
    async fn forwards_both_directions_and_holds_bytes_back_while_silent() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_echo(&mut stream, b"open").await;
        proxy.set(LinkState::Slow(Duration::from_millis(1)));
        assert_echo(&mut stream, b"slow").await;
        proxy.set(LinkState::Silent);
        stream.write_all(b"held").await.unwrap();
        let mut received = [0; 4];
        let early = timeout(Duration::from_millis(50), stream.read_exact(&mut received)).await;
        assert!(early.is_err(), "no byte is forwarded");
        proxy.set(LinkState::Open);
        timeout(TIMEOUT, stream.read_exact(&mut received)).await.expect("an echo").unwrap();
        assert_eq!((&received, proxy.connections()), (b"held", 1));
    }

    #[tokio::test]
    async fn a_cut_closes_open_and_new_connections() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_echo(&mut stream, b"open").await;
        proxy.set(LinkState::Cut);
        let mut rest = Vec::new();
        let ended = timeout(TIMEOUT, stream.read_to_end(&mut rest)).await.expect("an end");
        assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        let ended = timeout(TIMEOUT, new.read_to_end(&mut rest)).await.expect("an end");
        assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
        proxy.set(LinkState::Open);
        assert_echo(&mut TcpStream::connect(proxy.address()).await.unwrap(), b"open").await;
    }
}
