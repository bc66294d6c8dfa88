//! Tests of the pairing state machine: delays, renewal of codes, retries and the deadline.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::{Entropy, ScriptedEntropy};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::server::{CLAIMED, CODE, EXPIRED, NO_CODE, OTHER_CODE, PENDING, Reply, Server, failure, ok};
use super::{Fixture, short_timeouts};
use crate::{CallError, ManualSleeper, PairError, Pairing, PairingStep, Sleeper};

/// Pairs until the device is claimed; returns the codes shown, in order.
async fn pair(fixture: &Fixture) -> Vec<String> {
    let mut shown = Vec::new();
    let status = fixture.terminal.pair(|code| shown.push(code.symbols().to_owned())).await.unwrap();
    assert!(status.is_claimed);
    shown
}

async fn expect_retry(pairing: &mut Pairing) -> (CallError, Duration) {
    match pairing.next().await.unwrap() {
        PairingStep::Retrying { error, retry_in } => (error, retry_in),
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn polls_every_three_seconds_until_claimed() {
    let server = Server::start([CODE, PENDING, PENDING, PENDING, CLAIMED].map(ok)).await;
    let fixture = Fixture::connected_to(&server.address);
    assert_eq!(pair(&fixture).await, ["K7M3NP"]);
    assert_eq!(server.request_log(), ["code", "status", "status", "status", "status"]);
    assert_eq!(fixture.waits(), [3, 3, 3, 3]);
}

#[tokio::test]
async fn the_wait_between_polls_is_jittered() {
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    // A call takes six words for its trace; the seventh is the jitter of the first poll.
    let entropy = Arc::new(ScriptedEntropy::new([1, 1, 1, 1, 1, 1, 1 << 31]));
    let fixture = Fixture::with(&server.address, |builder| builder.entropy(entropy));
    pair(&fixture).await;
    assert_eq!(fixture.sleeper.waits(), [Duration::from_secs(4)]);
}

#[tokio::test]
async fn an_expired_code_is_renewed_at_once() {
    for ended in [EXPIRED, NO_CODE] {
        let server = Server::start([CODE, PENDING, ended, OTHER_CODE, CLAIMED].map(ok)).await;
        let fixture = Fixture::connected_to(&server.address);
        assert_eq!(pair(&fixture).await, ["K7M3NP", "AAAAAA"]);
        assert_eq!(server.request_log(), ["code", "status", "status", "code", "status"]);
        assert_eq!(fixture.waits(), [3, 3, 3], "no wait between the expiry and the new code");
    }
}

#[tokio::test]
async fn a_code_that_expired_by_the_local_clock_is_renewed() {
    let five_seconds = r#"{"pairing_code":"K7M3NP","expires_in_sec":5}"#;
    let server = Server::start([five_seconds, PENDING, OTHER_CODE, CLAIMED].map(ok)).await;
    let fixture = Fixture::connected_to(&server.address);
    assert_eq!(pair(&fixture).await, ["K7M3NP", "AAAAAA"]);
    assert_eq!(server.request_log(), ["code", "status", "code", "status"]);
    assert_eq!(fixture.waits(), [3, 2, 3], "the second wait ends when the code expires");
}

#[tokio::test]
async fn codes_with_zero_lifetime_are_not_requested_in_a_tight_loop() {
    let expired = r#"{"pairing_code":"K7M3NP","expires_in_sec":0}"#;
    let server = Server::start([expired, expired, OTHER_CODE, CLAIMED].map(ok)).await;
    let fixture = Fixture::connected_to(&server.address);
    pair(&fixture).await;
    assert_eq!(fixture.waits(), [1, 1, 3]);
}

#[tokio::test]
async fn an_already_claimed_device_needs_no_code() {
    let server = Server::start([failure(400, "4220", ""), ok(CLAIMED)]).await;
    let fixture = Fixture::connected_to(&server.address);
    assert_eq!(pair(&fixture).await, Vec::<String>::new());
    assert_eq!(fixture.waits(), Vec::<u64>::new());
}

#[tokio::test]
async fn a_server_that_contradicts_itself_is_called_at_the_poll_interval() {
    let refused = || failure(400, "4220", "");
    let server = Server::start([refused(), ok(NO_CODE), refused(), ok(PENDING), refused(), ok(CLAIMED)]).await;
    let fixture = Fixture::connected_to(&server.address);
    pair(&fixture).await;
    assert_eq!(fixture.waits(), [3, 3]);

    let five_seconds = ok(r#"{"pairing_code":"K7M3NP","expires_in_sec":5}"#);
    let server = Server::start([five_seconds, ok(PENDING), refused(), ok(PENDING), ok(CODE), ok(CLAIMED)]).await;
    let fixture = Fixture::connected_to(&server.address);
    pair(&fixture).await;
    assert_eq!(fixture.waits(), [3, 2, 3, 3], "the expired code does not shorten the wait after the refusal");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let date = "date: Sat, 13 Dec 2025 14:00:00 GMT\r\nretry-after: Sat, 13 Dec 2025 14:00:40 GMT\r\n";
    let html = Reply::Http(503, "retry-after: 50\r\n".into(), "<h1>unavailable</h1>".into());
    let server = Server::start([
        failure(429, "4290", "retry-after: 20\r\n"),
        ok(CODE),
        failure(429, "4290", date),
        failure(503, "5003", "retry-after: 7\r\n"),
        html,
        ok(CLAIMED),
    ])
    .await;
    let fixture = Fixture::connected_to(&server.address);
    pair(&fixture).await;
    assert_eq!(server.request_log(), ["code", "code", "status", "status", "status", "status"]);
    assert_eq!(fixture.waits(), [20, 3, 40, 7, 50]);
}

#[tokio::test]
async fn back_off_grows_with_each_failure_and_resets_after_a_success() {
    let unavailable = || failure(503, "5003", "");
    let broken = || failure(500, "5000", "retry-after: 1\r\n");
    let garbage = || Reply::Http(200, "content-type: text/html\r\n".into(), "<h1>terms</h1>".into());
    let server = Server::start([
        ok(CODE),
        unavailable(),
        broken(),
        garbage(),
        failure(429, "4290", ""),
        Reply::BrokenResponse,
        ok(PENDING),
        unavailable(),
        ok(CLAIMED),
    ])
    .await;
    let fixture = Fixture::connected_to(&server.address);
    assert_eq!(pair(&fixture).await, ["K7M3NP"]);
    assert_eq!(fixture.waits(), [3, 3, 6, 12, 24, 30, 3, 3]);
}

#[tokio::test]
async fn a_new_code_resets_the_back_off() {
    let unavailable = || failure(503, "5003", "");
    let server = Server::start([unavailable(), unavailable(), ok(CODE), unavailable(), ok(CLAIMED)]).await;
    let fixture = Fixture::connected_to(&server.address);
    pair(&fixture).await;
    assert_eq!(fixture.waits(), [3, 6, 3, 3]);
}

#[tokio::test]
async fn pairing_continues_after_a_timeout() {
    let server = Server::start([ok(CODE), Reply::NoResponse, ok(CLAIMED)]).await;
    let fixture = Fixture::with(&server.address, |builder| builder.transport(short_timeouts()));
    let mut pairing = fixture.terminal.pairing();
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Code(_)));
    let (error, _) = expect_retry(&mut pairing).await;
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
}

/// Starts a server during the third sleep.
struct DelayedServer {
    inner: Arc<ManualSleeper>,
    port: u16,
    server: Arc<Mutex<Option<Server>>>,
}

#[async_trait]
impl Sleeper for DelayedServer {
    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
        if self.inner.waits().len() == 3 {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
            *self.server.lock().await = Some(Server::on(listener, [CODE, CLAIMED].map(ok)));
        }
    }
}

#[tokio::test]
async fn pairing_continues_once_the_server_is_reachable_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let server = Arc::new(Mutex::new(None));
    let fixture = Fixture::with(&format!("http://127.0.0.1:{port}"), |builder| builder);
    let sleeper = DelayedServer { inner: fixture.sleeper.clone(), port, server: server.clone() };
    let fixture = Fixture::with(&format!("http://127.0.0.1:{port}"), |builder| builder.sleeper(Arc::new(sleeper)));
    assert_eq!(pair(&fixture).await, ["K7M3NP"]);
    assert_eq!(server.lock().await.as_ref().unwrap().request_log(), ["code", "status"]);
}

#[tokio::test]
async fn a_permanent_refusal_ends_pairing() {
    for (status, code) in [(400, "4000"), (401, "4001"), (403, "4003"), (404, "4004")] {
        let server = Server::start([failure(status, code, "")]).await;
        let fixture = Fixture::connected_to(&server.address);
        let error = fixture.terminal.pair(|_| panic!("no code was issued")).await.unwrap_err();
        let PairError::Refused(refusal) = error else { panic!("{error:?}") };
        assert_eq!((refusal.http_status, refusal.code.as_str()), (status, code));
        assert_eq!(fixture.waits(), Vec::<u64>::new());
    }
}

/// Zero jitter, so that a sleep can end exactly at the deadline.
struct ZeroEntropy;

impl Entropy for ZeroEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[tokio::test]
async fn gives_up_at_the_deadline_and_not_before() {
    for (limit, waits, requests) in [
        (8, vec![3, 3, 2], vec!["code", "status", "status"]),
        (6, vec![3, 3], vec!["code", "status"]),
        (0, vec![], vec![]),
    ] {
        let server = Server::start([CODE, PENDING, PENDING].map(ok)).await;
        let fixture = Fixture::with(&server.address, |builder| builder.entropy(Arc::new(ZeroEntropy)));
        let pairing = fixture.terminal.pairing().give_up_after(Duration::from_secs(limit));
        let error = pairing.run(|_| ()).await.unwrap_err();
        assert!(matches!(error, PairError::DeadlinePassed), "{error:?}");
        assert_eq!(fixture.waits(), waits, "the last wait ends at the deadline");
        assert_eq!(server.request_log(), requests);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_extend_the_delay() {
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    let fixture = Fixture::connected_to(&server.address);
    let mut pairing = fixture.terminal.pairing();
    pairing.next().await.unwrap();
    fixture.clock.advance(time::Duration::hours(-1));
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
    assert_eq!(fixture.waits(), [3]);
}

#[tokio::test]
async fn a_cancelled_step_can_be_repeated() {
    /// Never returns from the first sleep.
    struct FirstSleepHangs(Arc<ManualSleeper>, Mutex<bool>);
    #[async_trait]
    impl Sleeper for FirstSleepHangs {
        async fn sleep(&self, duration: Duration) {
            if !std::mem::replace(&mut *self.1.lock().await, true) {
                std::future::pending::<()>().await;
            }
            self.0.sleep(duration).await;
        }
    }
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    let first = Fixture::connected_to(&server.address);
    let sleeper = Arc::new(FirstSleepHangs(first.sleeper.clone(), Mutex::new(false)));
    let fixture = Fixture::with(&server.address, |builder| builder.sleeper(sleeper).clock(first.clock.clone()));
    let mut pairing = fixture.terminal.pairing();
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Code(_)));
    tokio::select! {
        biased;
        step = pairing.next() => panic!("{step:?}"),
        () = tokio::task::yield_now() => {}
    }
    first.clock.advance(time::Duration::seconds(1));
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
    assert_eq!(first.waits(), [2], "the second that has already passed is not waited for again");
}
