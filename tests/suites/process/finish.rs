//! Time limit for commands that tests wait for.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Longer than any command of the tests takes.
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) trait Finish {
    /// Runs the command and waits for its end. A command that exceeds the limit is killed, and the test fails with what
    /// each of its threads was doing.
    fn finish(&mut self) -> Output;
}

impl Finish for Command {
    fn finish(&mut self) -> Output {
        self.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.spawn().unwrap();
        let id = child.id();
        let (ended, end) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            (end.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout)).then(|| {
                let threads = threads_of(id);
                Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap();
                threads
            })
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        if let Some(threads) = watchdog.join().unwrap() {
            panic!("{self:?} did not end within {LIMIT:?}: {output:?}\n{threads}");
        }
        output
    }
}

/// Name, system call and kernel function of each thread, from proc(5).
fn threads_of(id: u32) -> String {
    let mut threads = String::new();
    for task in fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten() {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default().trim().to_owned();
        writeln!(threads, "thread {}: syscall {}, in {}", read("comm"), read("syscall"), read("wchan")).unwrap();
    }
    threads
}
