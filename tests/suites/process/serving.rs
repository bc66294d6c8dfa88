//! Tests of `serve`: start, log and shutdown.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::Value;

use crate::finish::Finish as _;
use crate::process::Serving;
use crate::{MERCHANT, add_merchant, program, run, text};

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

#[test]
fn the_first_log_line_has_the_bound_address_and_the_identity_provider_may_be_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path(), &[]);
    // The log thread writes lines a moment later.
    let log = serving.wait_for(|serving| Some(lines(&serving.log())).filter(|log| !log.is_empty()));
    assert_eq!(log[0]["address"], serving.address.as_str(), "{}", log[0]);
    assert!(serving.ask("GET /health/live", &[]).starts_with("HTTP/1.1 200"));
    let ready = serving.ask("GET /health/ready", &[]);
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"identity\":\"unavailable\""), "{ready}");
    let claim = serving.ask("POST /pos/claim", &[("Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.AAAA")]);
    assert!(claim.starts_with("HTTP/1.1 401") || claim.starts_with("HTTP/1.1 503"), "{claim}");
}

#[test]
fn the_log_has_trace_and_device_ids_and_never_a_code_or_token() {
    let folder = tempfile::tempdir().unwrap();
    add_merchant(folder.path());
    let added = run(folder.path(), &["device", "add", "--merchant", MERCHANT]);
    let device = text(&added.stdout).trim().to_owned();
    let mut serving = Serving::start(folder.path(), &[("POS__LOG__LEVEL", "trace")]);
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let issued = serving.terminal("POST /pos/pairing-code", &device, &traced);
    let body: Value = serde_json::from_str(issued.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    let code = body["pairing_code"].as_str().unwrap();
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzZWNyZXQifQ.c2VjcmV0LXNpZ25hdHVyZQ";
    serving.claim(token, code);

    serving.signal("TERM");
    assert!(serving.exit().success());
    let log = serving.log();
    let events = lines(&log);
    let issued = events.iter().find(|event| event.to_string().contains("pairing code issued")).expect("an event");
    assert!(issued.to_string().contains(trace_id) && issued.to_string().contains(&device), "{issued}");
    let answered = events.iter().filter(|event| event.to_string().contains(trace_id)).count();
    assert!(answered >= 2, "every line of the request has its trace id");
    assert!(!log.contains(code), "the code is in the log");
    for part in token.split('.') {
        assert!(!log.contains(part), "a part of the token is in the log");
    }
}

#[test]
fn a_shutdown_finishes_requests_in_progress() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path(), &[("POS__SHUTDOWN__GRACE_SECS", "20")]);
    let mut stream = serving.connect();
    // The request cannot be answered before its body has arrived.
    let body = "{\"client_id\":\"nobody\",\"client_secret\":\"none\"}";
    let head = format!(
        "POST /client/session HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: {}\r\nExpect: \
         100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // 100 Continue means that the request is in progress.
    let mut interim = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    serving.signal("TERM");
    serving.wait_for(|serving| serving.log().contains("stopping").then_some(()));
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(serving.exit().success());
    assert!(lines(&serving.log()).last().unwrap().to_string().contains("stopped"));
}

#[test]
fn a_signal_makes_it_unready_and_a_second_signal_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let slow = [("POS__SHUTDOWN__READINESS_DELAY_SECS", "60"), ("POS__SHUTDOWN__GRACE_SECS", "60")];
    let mut serving = Serving::start(folder.path(), &slow);
    serving.signal("TERM");
    serving.wait_for(|serving| serving.log().contains("stopping").then_some(()));
    let ready = serving.ask("GET /health/ready", &[]);
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("retry-after"), "{ready}");
    assert!(serving.ask("GET /health/live", &[]).starts_with("HTTP/1.1 200"), "it still serves");
    serving.signal("INT");
    assert!(serving.exit().success());
    assert!(serving.log().contains("second signal: stopping at once"));
}

#[test]
fn a_hangup_shuts_down_in_the_same_stages() {
    let folder = tempfile::tempdir().unwrap();
    let slow = [("POS__SHUTDOWN__READINESS_DELAY_SECS", "60"), ("POS__SHUTDOWN__GRACE_SECS", "60")];
    let mut serving = Serving::start(folder.path(), &slow);
    serving.signal("HUP");
    serving.wait_for(|serving| serving.log().contains("stopping").then_some(()));
    assert!(serving.ask("GET /health/ready", &[]).starts_with("HTTP/1.1 503"));
    assert!(serving.ask("GET /health/live", &[]).starts_with("HTTP/1.1 200"), "it still serves");
    serving.signal("HUP");
    assert!(serving.exit().success());
    assert!(serving.log().contains("second signal: stopping at once") && serving.log().contains("\"stopped\""));
}

/// Under nohup the server keeps running without its terminal.
#[test]
fn an_ignored_hangup_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start_through(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"], folder.path());
    serving.signal("HUP");
    serving.signal("TERM");
    assert!(serving.exit().success());
    assert!(!serving.log().contains("second signal: stopping"), "{}", serving.log());
}

#[test]
fn rate_limited_requests_are_counted_in_few_log_lines() {
    const CALLS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let tight = [("POS__LIMITS__DEVICE_PER_MINUTE", "1"), ("POS__LIMITS__DEVICE_BURST", "1")];
    let mut serving = Serving::start(folder.path(), &tight);
    let refused = (0..CALLS)
        .filter(|_| serving.terminal("POST /pos/pairing-code", "POS-8F3A2C91", &[]).starts_with("HTTP/1.1 429"))
        .count();
    assert!(refused > CALLS / 2, "{refused}");
    serving.signal("TERM");
    assert!(serving.exit().success());
    let logged: Vec<_> = lines(&serving.log()).into_iter().filter(|line| line["code"] == "4290").collect();
    assert!(!logged.is_empty() && logged.len() < refused / 2, "{} lines for {refused}", logged.len());
    let counted: u64 = logged.iter().map(|line| line["requests"].as_u64().unwrap()).sum();
    assert!(counted >= logged.len() as u64 && counted <= refused as u64, "{counted} of {refused}");
    assert!(logged[0]["span"]["trace_id"].is_string(), "{}", logged[0]);
}

/// The next response on a keep-alive connection says that it is the last, so the client reconnects elsewhere.
#[test]
fn a_server_that_is_shutting_down_closes_connections_after_the_response() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(folder.path(), &[("POS__SHUTDOWN__READINESS_DELAY_SECS", "60")]);
    let mut stream = serving.connect();
    let request = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut first = [0; 4096];
    stream.write_all(request).unwrap();
    let length = stream.read(&mut first).unwrap();
    let first = text(&first[..length]).to_lowercase();
    assert!(first.starts_with("http/1.1 200") && !first.contains("connection: close"), "{first}");
    serving.signal("TERM");
    serving.wait_for(|serving| serving.log().contains("stopping").then_some(()));
    stream.write_all(request).unwrap();
    let mut last = String::new();
    stream.read_to_string(&mut last).unwrap();
    assert!(last.starts_with("HTTP/1.1 200") && last.to_lowercase().contains("connection: close"), "{last}");
}

#[test]
fn a_failed_start_is_reported_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[]);
    let serve = |variables: &[(&str, &str)], more: &[&str]| {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut command = program(elsewhere.path());
        command.arg("serve").args(more).env("POS__HTTP__BIND", "127.0.0.1:0");
        command.env("POS__IDENTITY__ISSUER", "https://login.example.com").env("POS__IDENTITY__AUDIENCE", "pos");
        let output = command.envs(variables.iter().copied()).finish();
        assert!(!output.status.success(), "{output:?}");
        text(&output.stderr)
    };
    let taken = serve(&[("POS__HTTP__BIND", &serving.address)], &[]);
    assert!(taken.contains("POS__HTTP__BIND") && taken.contains("another process listens"), "{taken}");
    let foreign = serve(&[("POS__HTTP__BIND", "192.0.2.7:8080")], &[]);
    assert!(foreign.contains("this machine has no such address"), "{foreign}");
    assert!(serve(&[("POS__IDENTITY__ISSUER", "")], &[]).contains("POS__IDENTITY__ISSUER"));
    assert!(serve(&[("POS__DATABASE__URL", "mysql://root:hunter2@db/pos")], &[]).contains("sqlite://"));
    assert!(serve(&[("POS__DATABASE__URL", "sqlite:///no/such/folder/pos.db")], &[]).contains("/no/such/folder"));
    assert!(serve(&[], &["--no-migrate"]).contains("pos-server migrate"));
    let unreachable = "postgres://pos:hunter2@127.0.0.1:9/pos";
    let stderr = serve(&[("POS__DATABASE__URL", unreachable)], &[]);
    assert!(stderr.contains("127.0.0.1") && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_client_that_sends_its_head_too_slowly_gets_an_error_and_is_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &[("POS__HTTP__CLIENT_HEADER_TIMEOUT_SECS", "1")]);
    let mut stream = serving.connect();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHo").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"code\":\"4000\"") && answer.contains("in time"), "{answer}");
}
