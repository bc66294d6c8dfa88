//! A standard error that nobody reads, for a while or for ever.

use std::io::{BufRead as _, BufReader, Write as _};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::Serving;
use crate::program;

/// More than a pipe holds.
const REFUSED: usize = 2_000;
/// More than the server's queue of lines holds, after that.
const MOST: usize = 20_000;

/// Every refusal is a line of the log; each answer is bounded.
fn refuse(serving: &Serving) {
    let mut stream = serving.connect();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /nope HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    assert!(status.starts_with("HTTP/1.1 404"), "{status}");
}

fn dropped(serving: &Serving) -> u64 {
    let metrics = serving.ask("GET /metrics", &[]);
    let line = metrics.lines().find_map(|line| line.strip_prefix("pos_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("no such metric: {metrics}")).parse().unwrap()
}

fn refuse_until_lines_are_dropped(serving: &Serving) {
    (0..REFUSED).for_each(|_| refuse(serving));
    assert!(serving.ask("GET /health/live", &[]).starts_with("HTTP/1.1 200"));
    for _ in 0..MOST / 100 {
        if dropped(serving) > 0 {
            return;
        }
        (0..100).for_each(|_| refuse(serving));
    }
    panic!("no line was dropped, and none was read");
}

#[test]
fn a_log_that_nobody_reads_stops_neither_answers_nor_the_end() {
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
    assert!(last.contains("\"stopped\""), "what is queued at the end is written: {last}");
}

#[test]
fn a_log_that_was_closed_stops_neither_answers_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (closed, stderr) = std::io::pipe().unwrap();
    let mut serving = Serving::start_logging_to(stderr, folder.path(), &[]);
    drop(closed);
    (0..10).for_each(|_| refuse(&serving));
    serving.wait_for(|serving| (dropped(serving) > 0).then_some(()));
    serving.signal("TERM");
    assert!(serving.exit().success());
}

#[test]
fn a_start_that_fails_ends_though_nobody_reads_why() {
    let folder = tempfile::tempdir().unwrap();
    let (unread, stderr) = std::io::pipe().unwrap();
    let mut full = stderr.try_clone().unwrap();
    // Blocks as soon as the pipe is full, until its other end is closed.
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
