//! Tests of a standard error that nobody reads, for a while or permanently.

use std::io::{BufRead as _, BufReader, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::Serving;
use crate::program;

/// More lines than a pipe holds.
const REFUSED: usize = 2_000;
/// More lines than the server's log queue holds in addition.
const MOST: usize = 20_000;

/// Sends a request that is refused with one log line; the response must arrive in time.
fn refuse(serving: &Serving) {
    let mut stream = serving.connect();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /nope HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    assert!(status.starts_with("HTTP/1.1 404"), "{status}");
}

fn dropped_lines(serving: &Serving) -> u64 {
    let metrics = serving.ask("GET /metrics", &[]);
    let line = metrics.lines().find_map(|line| line.strip_prefix("pos_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("no such metric: {metrics}")).parse().unwrap()
}

fn refuse_until_lines_are_dropped(serving: &Serving) {
    (0..REFUSED).for_each(|_| refuse(serving));
    assert!(serving.ask("GET /health/live", &[]).starts_with("HTTP/1.1 200"));
    for _ in 0..MOST / 100 {
        if dropped_lines(serving) > 0 {
            return;
        }
        (0..100).for_each(|_| refuse(serving));
    }
    panic!("no line was dropped, and none was read");
}

#[test]
fn an_unread_log_blocks_neither_responses_nor_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, stderr) = std::io::pipe().unwrap();
    let mut serving = Serving::start_logging_to(stderr, folder.path(), &[("POS__SHUTDOWN__GRACE_SECS", "5")]);
    refuse_until_lines_are_dropped(&serving);
    serving.signal("TERM");
    assert!(serving.exit().success());
    drop(unread);
}

#[test]
fn dropped_lines_are_reported_when_the_log_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (stalled, stderr) = std::io::pipe().unwrap();
    let mut serving = Serving::start_logging_to(stderr, folder.path(), &[]);
    refuse_until_lines_are_dropped(&serving);
    let (seen, reported) = std::sync::mpsc::channel();
    let reader = thread::spawn(move || {
        let mut last = String::new();
        for line in BufReader::new(stalled).lines().map(Result::unwrap) {
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if let Some(total) = event["total"].as_u64() {
                assert!(line.contains("log lines were dropped") && event["level"] == "WARN", "{line}");
                let _ = seen.send(total);
            }
            last = line;
        }
        last
    });
    assert!(reported.recv_timeout(Duration::from_secs(30)).expect("a report") > 0);
    serving.signal("TERM");
    assert!(serving.exit().success());
    let last = reader.join().unwrap();
    assert!(last.contains("\"stopped\""), "lines queued at the end are written: {last}");
}

#[test]
fn a_closed_log_blocks_neither_responses_nor_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let (closed, stderr) = std::io::pipe().unwrap();
    let mut serving = Serving::start_logging_to(stderr, folder.path(), &[]);
    drop(closed);
    (0..10).for_each(|_| refuse(&serving));
    serving.wait_for(|serving| (dropped_lines(serving) > 0).then_some(()));
    serving.signal("TERM");
    assert!(serving.exit().success());
}

#[test]
fn a_failed_start_ends_even_if_nobody_reads_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, stderr) = std::io::pipe().unwrap();
    let mut full = stderr.try_clone().unwrap();
    // Blocks when the pipe is full, until its other end is closed.
    let filling = thread::spawn(move || while full.write_all(&[b'.'; 4_096]).is_ok() {});
    let mut failing = program(folder.path()).arg("serve").stderr(stderr).spawn().unwrap();
    let ended = (0..3_000).find_map(|_| {
        thread::sleep(Duration::from_millis(10));
        failing.try_wait().unwrap()
    });
    let _ = failing.kill();
    assert_eq!(ended.and_then(|status| status.code()), Some(1));
    drop(unread);
    filling.join().unwrap();
}
