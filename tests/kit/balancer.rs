//! TCP load balancer for tests: HAProxy, to which replicas are added at run time.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::programs::{accepts_connections, end, find, free_port};

/// Server slots in the HAProxy configuration.
const MAX_REPLICAS: usize = 8;

/// A running HAProxy, stopped when dropped. It distributes connections round-robin. It checks `/health/ready` of each
/// replica five times a second and sends no new connection to a replica that is not ready. It neither parses nor retries
/// requests.
#[derive(Debug)]
pub struct Balancer {
    child: Child,
    port: u16,
    folder: TempDir,
    replicas: usize,
}

impl Balancer {
    /// Starts HAProxy without replicas.
    ///
    /// # Panics
    /// If HAProxy is not installed or does not start.
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
            let mut started = Self { child, port, folder, replicas: 0 };
            if accepts_connections(&mut started.child, started.port) {
                return started;
            }
            eprintln!("{}", fs::read_to_string(started.log()).unwrap());
        }
        panic!("HAProxy does not start")
    }

    /// The URL that clients use: `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Adds a replica to the rotation.
    ///
    /// # Panics
    /// If HAProxy rejects the replica.
    pub fn add(&mut self, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        self.replicas += 1;
        assert!(self.replicas <= MAX_REPLICAS, "at most {MAX_REPLICAS} replicas");
        let slot = format!("replicas/r{}", self.replicas);
        self.run_command(&format!("set server {slot} addr {} port {}", address.ip(), address.port()));
        self.run_command(&format!("set server {slot} state ready"));
        self.run_command(&format!("enable health {slot}"));
    }

    /// The log of replicas that became ready or failed, for diagnosing a failed test.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn run_command(&self, command: &str) {
        let mut socket = UnixStream::connect(self.folder.path().join("admin")).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        // HAProxy reports errors in the reply only.
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        assert!(!reply.contains("Unknown") && !reply.contains("No such"), "{reply}");
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn settings(folder: &Path, port: u16) -> String {
    let admin = folder.join("admin");
    // The long check timeout keeps a slow replica on a busy machine; `fall 2` removes it after two failed checks.
    format!(
        "global\n  stats socket {} mode 600 level admin\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 10s\n  \
         timeout check 10s\n  timeout client 60s\n  timeout server 60s\nlisten replicas\n  bind 127.0.0.1:{port}\n  \
         balance roundrobin\n  option httpchk GET /health/ready\n  option redispatch\n  server-template r 1-{MAX_REPLICAS} \
         127.0.0.1:1 check inter 200ms fall 2 rise 1 disabled\n",
        admin.display()
    )
}
