use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pos_port_clock::{Entropy, ScriptedEntropy};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::server::{CLAIMED, CODE, EXPIRED, NO_CODE, OTHER_CODE, PENDING, Reply, Server, failure, ok};
use super::{Bench, impatient};
use crate::{CallError, ManualSleeper, PairError, Pairing, PairingStep, Sleeper};

/// Pairs to the end; the codes shown, in order.
async fn pair(bench: &Bench) -> Vec<String> {
    let mut shown = Vec::new();
    let status = bench.terminal.pair(|code| shown.push(code.symbols().to_owned())).await.unwrap();
    assert!(status.is_claimed);
    shown
}

async fn expect_trouble(pairing: &mut Pairing) -> (CallError, Duration) {
    match pairing.next().await.unwrap() {
        PairingStep::Trouble { error, retry_in } => (error, retry_in),
        step => panic!("{step:?}"),
    }
}

#[tokio::test]
async fn polls_every_three_seconds_until_claimed() {
    let server = Server::start([CODE, PENDING, PENDING, PENDING, CLAIMED].map(ok)).await;
    let bench = Bench::at(&server.address);
    assert_eq!(pair(&bench).await, ["K7M3NP"]);
    assert_eq!(server.story(), ["code", "status", "status", "status", "status"]);
    assert_eq!(bench.waits(), [3, 3, 3, 3]);
}

#[tokio::test]
async fn the_wait_between_polls_is_jittered() {
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    // One call draws six words for its trace; the seventh is the first poll's.
    let entropy = Arc::new(ScriptedEntropy::new([1, 1, 1, 1, 1, 1, 1 << 31]));
    let bench = Bench::with(&server.address, |builder| builder.entropy(entropy));
    pair(&bench).await;
    assert_eq!(bench.sleeper.waits(), [Duration::from_secs(4)]);
}

#[tokio::test]
async fn an_expired_code_is_renewed_at_once() {
    for over in [EXPIRED, NO_CODE] {
        let server = Server::start([CODE, PENDING, over, OTHER_CODE, CLAIMED].map(ok)).await;
        let bench = Bench::at(&server.address);
        assert_eq!(pair(&bench).await, ["K7M3NP", "AAAAAA"]);
        assert_eq!(server.story(), ["code", "status", "status", "code", "status"]);
        assert_eq!(bench.waits(), [3, 3, 3], "no wait between the news and the new code");
    }
}

#[tokio::test]
async fn a_code_is_renewed_by_the_terminals_own_clock_too() {
    let five_seconds = r#"{"pairing_code":"K7M3NP","expires_in_sec":5}"#;
    let server = Server::start([five_seconds, PENDING, OTHER_CODE, CLAIMED].map(ok)).await;
    let bench = Bench::at(&server.address);
    assert_eq!(pair(&bench).await, ["K7M3NP", "AAAAAA"]);
    assert_eq!(server.story(), ["code", "status", "code", "status"]);
    assert_eq!(bench.waits(), [3, 2, 3], "the second wait ends with the code");
}

#[tokio::test]
async fn codes_without_a_life_are_not_asked_for_in_a_tight_loop() {
    let dead = r#"{"pairing_code":"K7M3NP","expires_in_sec":0}"#;
    let server = Server::start([dead, dead, OTHER_CODE, CLAIMED].map(ok)).await;
    let bench = Bench::at(&server.address);
    pair(&bench).await;
    assert_eq!(bench.waits(), [1, 1, 3]);
}

#[tokio::test]
async fn a_device_that_is_claimed_already_needs_no_code() {
    let server = Server::start([failure(400, "4220", ""), ok(CLAIMED)]).await;
    let bench = Bench::at(&server.address);
    assert_eq!(pair(&bench).await, Vec::<String>::new());
    assert_eq!(bench.waits(), Vec::<u64>::new());
}

#[tokio::test]
async fn a_server_of_two_minds_is_asked_at_the_rhythm() {
    let refused = || failure(400, "4220", "");
    let server = Server::start([refused(), ok(NO_CODE), refused(), ok(PENDING), refused(), ok(CLAIMED)]).await;
    let bench = Bench::at(&server.address);
    pair(&bench).await;
    assert_eq!(bench.waits(), [3, 3]);

    let five_seconds = ok(r#"{"pairing_code":"K7M3NP","expires_in_sec":5}"#);
    let server = Server::start([five_seconds, ok(PENDING), refused(), ok(PENDING), ok(CODE), ok(CLAIMED)]).await;
    let bench = Bench::at(&server.address);
    pair(&bench).await;
    assert_eq!(bench.waits(), [3, 2, 3, 3], "the ended code does not shorten the wait after the refusal");
}

#[tokio::test]
async fn waits_as_long_as_it_is_asked_to() {
    let date = "date: Sat, 13 Dec 2025 14:00:00 GMT\r\nretry-after: Sat, 13 Dec 2025 14:00:40 GMT\r\n";
    let html = Reply::Http(503, "retry-after: 50\r\n".into(), "<h1>away</h1>".into());
    let server = Server::start([
        failure(429, "4290", "retry-after: 20\r\n"),
        ok(CODE),
        failure(429, "4290", date),
        failure(503, "5003", "retry-after: 7\r\n"),
        html,
        ok(CLAIMED),
    ])
    .await;
    let bench = Bench::at(&server.address);
    pair(&bench).await;
    assert_eq!(server.story(), ["code", "code", "status", "status", "status", "status"]);
    assert_eq!(bench.waits(), [20, 3, 40, 7, 50]);
}

#[tokio::test]
async fn backs_off_further_and_further_and_starts_again_after_a_success() {
    let away = || failure(503, "5003", "");
    let broken = || failure(500, "5000", "retry-after: 1\r\n");
    let garbage = || Reply::Http(200, "content-type: text/html\r\n".into(), "<h1>terms</h1>".into());
    let server = Server::start([
        ok(CODE),
        away(),
        broken(),
        garbage(),
        failure(429, "4290", ""),
        Reply::Cut,
        ok(PENDING),
        away(),
        ok(CLAIMED),
    ])
    .await;
    let bench = Bench::at(&server.address);
    assert_eq!(pair(&bench).await, ["K7M3NP"]);
    assert_eq!(bench.waits(), [3, 3, 6, 12, 24, 30, 3, 3]);
}

#[tokio::test]
async fn a_new_code_ends_the_back_off_too() {
    let away = || failure(503, "5003", "");
    let server = Server::start([away(), away(), ok(CODE), away(), ok(CLAIMED)]).await;
    let bench = Bench::at(&server.address);
    pair(&bench).await;
    assert_eq!(bench.waits(), [3, 6, 3, 3]);
}

#[tokio::test]
async fn a_silent_server_is_waited_out() {
    let server = Server::start([ok(CODE), Reply::Silence, ok(CLAIMED)]).await;
    let bench = Bench::with(&server.address, |builder| builder.transport(impatient()));
    let mut pairing = bench.terminal.pairing();
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Code(_)));
    let (error, _) = expect_trouble(&mut pairing).await;
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
}

/// Brings a server up during the third wait.
struct PowerCut {
    inner: Arc<ManualSleeper>,
    port: u16,
    server: Arc<Mutex<Option<Server>>>,
}

#[async_trait]
impl Sleeper for PowerCut {
    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
        if self.inner.waits().len() == 3 {
            let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
            *self.server.lock().await = Some(Server::on(listener, [CODE, CLAIMED].map(ok)));
        }
    }
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let server = Arc::new(Mutex::new(None));
    let bench = Bench::with(&format!("http://127.0.0.1:{port}"), |builder| builder);
    let power_cut = PowerCut { inner: bench.sleeper.clone(), port, server: server.clone() };
    let bench = Bench::with(&format!("http://127.0.0.1:{port}"), |builder| builder.sleeper(Arc::new(power_cut)));
    assert_eq!(pair(&bench).await, ["K7M3NP"]);
    assert_eq!(server.lock().await.as_ref().unwrap().story(), ["code", "status"]);
}

#[tokio::test]
async fn a_refusal_for_good_ends_pairing() {
    for (status, code) in [(400, "4000"), (401, "4001"), (403, "4003"), (404, "4004")] {
        let server = Server::start([failure(status, code, "")]).await;
        let bench = Bench::at(&server.address);
        let error = bench.terminal.pair(|_| panic!("no code was given")).await.unwrap_err();
        let PairError::Refused(refusal) = error else { panic!("{error:?}") };
        assert_eq!((refusal.http_status, refusal.code.as_str()), (status, code));
        assert_eq!(bench.waits(), Vec::<u64>::new());
    }
}

/// No jitter at all, so that a wait can end with the deadline to the instant.
struct Zero;

impl Entropy for Zero {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[tokio::test]
async fn gives_up_at_the_deadline_and_not_before() {
    for (limit, waits, story) in [
        (8, vec![3, 3, 2], vec!["code", "status", "status"]),
        (6, vec![3, 3], vec!["code", "status"]),
        (0, vec![], vec![]),
    ] {
        let server = Server::start([CODE, PENDING, PENDING].map(ok)).await;
        let bench = Bench::with(&server.address, |builder| builder.entropy(Arc::new(Zero)));
        let pairing = bench.terminal.pairing().give_up_after(Duration::from_secs(limit));
        let error = pairing.run(|_| ()).await.unwrap_err();
        assert!(matches!(error, PairError::DeadlinePassed), "{error:?}");
        assert_eq!(bench.waits(), waits, "the last wait ends with the deadline");
        assert_eq!(server.story(), story);
    }
}

#[tokio::test]
async fn a_clock_set_back_does_not_stretch_the_wait() {
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    let bench = Bench::at(&server.address);
    let mut pairing = bench.terminal.pairing();
    pairing.next().await.unwrap();
    bench.clock.advance(time::Duration::hours(-1));
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
    assert_eq!(bench.waits(), [3]);
}

#[tokio::test]
async fn a_dropped_step_can_be_taken_again() {
    /// Sleeps for ever the first time.
    struct Stuck(Arc<ManualSleeper>, Mutex<bool>);
    #[async_trait]
    impl Sleeper for Stuck {
        async fn sleep(&self, duration: Duration) {
            if !std::mem::replace(&mut *self.1.lock().await, true) {
                std::future::pending::<()>().await;
            }
            self.0.sleep(duration).await;
        }
    }
    let server = Server::start([CODE, CLAIMED].map(ok)).await;
    let first = Bench::at(&server.address);
    let stuck = Arc::new(Stuck(first.sleeper.clone(), Mutex::new(false)));
    let bench = Bench::with(&server.address, |builder| builder.sleeper(stuck).clock(first.clock.clone()));
    let mut pairing = bench.terminal.pairing();
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Code(_)));
    tokio::select! {
        biased;
        step = pairing.next() => panic!("{step:?}"),
        () = tokio::task::yield_now() => {}
    }
    first.clock.advance(time::Duration::seconds(1));
    assert!(matches!(pairing.next().await.unwrap(), PairingStep::Claimed(_)));
    assert_eq!(first.waits(), [2], "the second that passed meanwhile is not waited again");
}
