use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, yield_now};

use super::*;

async fn connected(outbox: &Rc<Outbox>) -> (PostedStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    stream.writable().await.unwrap();
    (PostedStream::new(stream, Rc::clone(outbox)), caller)
}

/// With and without the system's ring, as far as there is one.
fn outboxes() -> impl Iterator<Item = Rc<Outbox>> {
    let ring = Burst::open(MOST);
    if ring.is_none() {
        eprintln!("no io_uring here: only the other way is tested");
    }
    ring.map(|ring| Outbox::with(Some(ring))).into_iter().chain([Outbox::with(None)])
}

async fn read_to_end(mut caller: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    caller.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn answers_of_one_turn_leave_together_when_it_is_over() {
    let all = async {
        for outbox in outboxes() {
            together(&outbox).await;
        }
    };
    LocalSet::new().run_until(all).await;
}

async fn together(outbox: &Rc<Outbox>) {
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(connected(outbox).await);
    }
    // Its task is waiting.
    yield_now().await;
    for (stream, _) in &mut lines {
        stream.write_all(b"one ").await.unwrap();
        stream.write_all(b"two").await.unwrap();
        stream.flush().await.unwrap();
    }
    let waiting = |outbox: &Outbox| outbox.full.borrow().len();
    assert_eq!(waiting(outbox), 3, "each once, and none sent yet");
    yield_now().await;
    assert_eq!(waiting(outbox), 0);
    for (stream, mut caller) in lines {
        let mut read = [0; 7];
        caller.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two");
        drop(stream);
    }
}

#[tokio::test]
async fn so_many_do_not_wait_for_more() {
    let all = async {
        let outbox = Outbox::open();
        let mut lines = Vec::new();
        for _ in 0..MOST {
            lines.push(connected(&outbox).await);
        }
        yield_now().await;
        for (stream, _) in &mut lines {
            stream.write_all(b"x").await.unwrap();
        }
        assert_eq!(outbox.full.borrow().len(), 0, "without a turn in between");
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn what_is_posted_arrives_though_the_connection_is_closed_or_dropped_at_once() {
    let all = async {
        let outbox = Outbox::open();
        let (mut closed, caller) = connected(&outbox).await;
        closed.write_all(b"the end").await.unwrap();
        closed.shutdown().await.unwrap();
        assert_eq!(read_to_end(caller).await, b"the end");
        let (mut dropped, caller) = connected(&outbox).await;
        dropped.write_all(b"the end").await.unwrap();
        drop(dropped);
        assert_eq!(read_to_end(caller).await, b"the end");
    };
    LocalSet::new().run_until(all).await;
}

/// Far more than the system takes at once, in pieces of every size, to one who reads late.
#[tokio::test]
async fn a_slow_caller_gets_every_byte_in_order_and_is_waited_for() {
    let all = async {
        let outbox = Outbox::open();
        let (mut stream, mut caller) = connected(&outbox).await;
        let sent: Vec<u8> =
            (0..16_u32 << 20).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
        let expected = sent.clone();
        let writer = tokio::task::spawn_local(async move {
            let mut rest = sent.as_slice();
            let mut size = 1;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                stream.write_all(piece).await.unwrap();
                stream.flush().await.unwrap();
                (rest, size) = (after, size * 3 % 40_009);
            }
            stream.shutdown().await.unwrap();
        });
        for _ in 0..1_000 {
            yield_now().await;
        }
        assert!(!writer.is_finished(), "nobody reads, and it does not all fit");
        let mut read = Vec::new();
        caller.read_to_end(&mut read).await.unwrap();
        writer.await.unwrap();
        assert!(read == expected);
    };
    LocalSet::new().run_until(all).await;
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Fills the system's room for a connection, until none is found for a while: it grows at first.
async fn stuff(stream: &mut PostedStream) -> usize {
    let (block, mut sent, mut in_vain) = (vec![b'x'; 2 * LARGE], 0, 0);
    while in_vain < 100 {
        match Pin::new(&mut *stream).poll_write(&mut Context::from_waker(Waker::noop()), &block) {
            Poll::Ready(written) => (sent, in_vain) = (sent + written.unwrap(), 0),
            Poll::Pending => in_vain += 1,
        }
        yield_now().await;
    }
    sent
}

/// Whoever was told that all is written looks at the connection again only when woken.
#[tokio::test]
async fn an_answer_that_is_stuck_wakes_its_connection_and_arrives_in_the_end() {
    let all = async {
        let outbox = Outbox::open();
        let (mut stream, mut caller) = connected(&outbox).await;
        let sent = stuff(&mut stream).await;
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let told = Pin::new(&mut stream).poll_write(&mut Context::from_waker(&waker), b"end");
        assert!(matches!(told, Poll::Ready(Ok(3))), "{told:?}");
        assert!(Pin::new(&mut stream).poll_flush(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        yield_now().await;
        yield_now().await;
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "the outbox could not send it");
        let mut read = vec![0; sent + 3];
        let (flushed, got) = tokio::join!(poll_fn(|context| Pin::new(&mut stream).poll_flush(context)), async {
            caller.read_exact(&mut read).await.unwrap()
        });
        flushed.unwrap();
        assert_eq!((got, read.get(sent..)), (sent + 3, Some(b"end".as_slice())));
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn one_that_is_stuck_holds_up_none_of_those_that_leave_with_it() {
    let all = async {
        for outbox in outboxes() {
            let (mut stuck, mut slow) = connected(&outbox).await;
            let sent = stuff(&mut stuck).await;
            let (mut one, mut first) = connected(&outbox).await;
            let (mut other, mut second) = connected(&outbox).await;
            one.write_all(b"one").await.unwrap();
            stuck.write_all(b"end").await.unwrap();
            other.write_all(b"two").await.unwrap();
            let (mut read, mut at_once) = (vec![0; sent + 3], [0; 6]);
            let (left, right) = at_once.split_at_mut(3);
            first.read_exact(left).await.unwrap();
            second.read_exact(right).await.unwrap();
            assert_eq!(&at_once, b"onetwo");
            let (flushed, got) = tokio::join!(stuck.flush(), slow.read_exact(&mut read));
            flushed.unwrap();
            assert_eq!((got.unwrap(), read.get(sent..)), (sent + 3, Some(b"end".as_slice())));
        }
    };
    LocalSet::new().run_until(all).await;
}

/// Better no connection than one on which something is missing.
#[tokio::test]
async fn a_connection_whose_answer_was_lost_is_over() {
    let all = async {
        let outbox = Outbox::open();
        let (mut stream, _caller) = connected(&outbox).await;
        let woken = Arc::new(Woken::default());
        stream.line.belongs_to(&Waker::from(Arc::clone(&woken)));
        stream.line.lose();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        for told in [stream.flush().await, stream.write_all(b"x").await, stream.shutdown().await] {
            assert_eq!(told.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn last_words_wait_until_there_is_room() {
    let all = async {
        let outbox = Outbox::open();
        let (mut stream, caller) = connected(&outbox).await;
        let sent = stuff(&mut stream).await;
        assert!(stream.poll_write_now(&mut Context::from_waker(Waker::noop()), b"end").is_pending());
        let last = async {
            let written = poll_fn(|context| stream.poll_write_now(context, b"end")).await.unwrap();
            drop(stream);
            written
        };
        let (written, read) = tokio::join!(last, read_to_end(caller));
        assert_eq!((written, read.len(), read.ends_with(b"xend")), (3, sent + 3, true));
    };
    LocalSet::new().run_until(all).await;
}

#[tokio::test]
async fn who_is_gone_is_told_of_by_the_next_write() {
    let all = async {
        let outbox = Outbox::open();
        let (mut stream, caller) = connected(&outbox).await;
        caller.set_zero_linger().unwrap();
        drop(caller);
        let told = loop {
            if let Err(error) = stream.write_all(b"x").await.and(stream.flush().await) {
                break error.kind();
            }
            yield_now().await;
        };
        assert!(matches!(told, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{told}");
    };
    LocalSet::new().run_until(all).await;
}
