//! External programs of tests: look-up, start-up check and termination.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

/// Finds a program in PATH or in the directories where Debian installs servers.
pub(crate) fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: scripts/install-test-tools installs it"))
}

/// A free port. Another process may still take it before the caller does.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a program listens. Returns false if it ended or did not listen within five seconds.
pub(crate) fn accepts_connections(child: &mut Child, port: u16) -> bool {
    for _ in 0..1_000 {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

/// Terminates a program and waits for it.
pub(crate) fn end(child: &mut Child) {
    if child.try_wait().is_ok_and(|ended| ended.is_none()) {
        let _ = Command::new("kill").arg(child.id().to_string()).status();
    }
    let _ = child.wait();
}
