//! A plain TCP balancer: HAProxy, told at run time which replicas there are.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{accepts_connections, end, find, free_port};

/// Places for replicas.
const PLACES: usize = 8;

/// A running HAProxy, stopped when dropped. It shares out connections, one after the other; it looks five times a second
/// at `/health/ready` of each replica, and sends no new connection to one that is not. It neither reads requests nor
/// repeats any.
#[derive(Debug)]
pub struct Balancer {
    child: Child,
    port: u16,
    folder: TempDir,
    taken: usize,
}

impl Balancer {
    /// Starts one without replicas.
    ///
    /// # Panics
    /// When there is no HAProxy, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        let program = find("haproxy");
        for _ in 0..5 {
            let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
            let settings = folder.path().join("haproxy.cfg");
            fs::write(&settings, self::settings(folder.path(), port)).unwrap();
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let child = Command::new("timeout")
                .arg("900")
                .arg(&program)
                .args(["-db", "-f"])
                .arg(&settings)
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("HAProxy can be started");
            let mut started = Self { child, port, folder, taken: 0 };
            if accepts_connections(&mut started.child, started.port) {
                return started;
            }
            eprintln!("{}", fs::read_to_string(started.log()).unwrap());
        }
        panic!("HAProxy does not start")
    }

    /// Where callers come: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends connections to a replica, too, from now on.
    ///
    /// # Panics
    /// When HAProxy does not take it.
    pub fn add(&mut self, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        self.taken += 1;
        assert!(self.taken <= PLACES, "there are {PLACES} places");
        let place = format!("replicas/r{}", self.taken);
        self.tell(&format!("set server {place} addr {} port {}", address.ip(), address.port()));
        self.tell(&format!("set server {place} state ready"));
        self.tell(&format!("enable health {place}"));
    }

    /// Where it writes which replica came and went, for a test that fails.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn tell(&self, command: &str) {
        let mut socket = UnixStream::connect(self.folder.path().join("admin")).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        // What it did not understand it says.
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(!answer.contains("Unknown") && !answer.contains("No such"), "{answer}");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn settings(folder: &Path, port: u16) -> String {
    let admin = folder.join("admin");
    // A replica that is slow to answer on a busy machine is not gone: only what it answers counts, twice.
    format!(
        "global\n  stats socket {} mode 600 level admin\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 10s\n  \
         timeout check 10s\n  timeout client 60s\n  timeout server 60s\nlisten replicas\n  bind 127.0.0.1:{port}\n  \
         balance roundrobin\n  option httpchk GET /health/ready\n  option redispatch\n  server-template r 1-{PLACES} \
         127.0.0.1:1 check inter 200ms fall 2 rise 1 disabled\n",
        admin.display()
    )
}
