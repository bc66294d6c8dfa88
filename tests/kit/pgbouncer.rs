//! PgBouncer in transaction mode, one per test that needs it, in front of the tests' PostgreSQL.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio_postgres::{Config, config::Host};

use crate::programs::{accepts_connections, end, find, free_port};

/// Server connections per database: fewer than the clients of any test, so that they must be shared.
const POOL_SIZE: u32 = 5;

/// A running PgBouncer, stopped when dropped. `timeout` ends it after 15 minutes even if the test process was killed.
#[derive(Debug)]
pub struct PgBouncer {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl PgBouncer {
    /// Starts PgBouncer in front of the server of this URL, for all databases of the server.
    ///
    /// # Panics
    /// If PgBouncer is not installed or does not start.
    #[must_use]
    pub fn before(url: &str) -> Self {
        let program = find("pgbouncer");
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            write_settings(folder.path(), port, url);
            // PgBouncer refuses to run as root.
            let as_root = fs::metadata(folder.path()).unwrap().uid() == 0;
            let (mode, user): (_, &[&str]) = (0o755, if as_root { &["-u", "nobody"] } else { &[] });
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            let log = fs::File::create(folder.path().join("log")).unwrap();
            let child = Command::new("timeout")
                .arg("900")
                .arg(&program)
                .args(user)
                .arg(folder.path().join("pgbouncer.ini"))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("PgBouncer can be started");
            let mut started = Self { child, port, folder };
            if accepts_connections(&mut started.child, started.port) {
                return started;
            }
            // Another process may have taken the port, so try again. The drop waits for this process to end.
            eprintln!("{}", started.log());
        }
        panic!("PgBouncer does not start")
    }

    /// The URL of the same database through PgBouncer.
    #[must_use]
    pub fn url(&self, direct: &str) -> String {
        let config: Config = direct.parse().unwrap();
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port, config.get_dbname().unwrap())
    }

    /// The content of its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn write_settings(folder: &Path, port: u16, url: &str) {
    let config: Config = url.parse().unwrap();
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("the test server has no TCP host") };
    let server_port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or("postgres");
    let password = config.get_password().map(|word| format!(" password='{}'", String::from_utf8_lossy(word)));
    let settings = format!(
        "[databases]\n* = host={host} port={server_port} user={user}{}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
         default_pool_size = {POOL_SIZE}\nmax_client_conn = 1000\nlog_connections = 0\nlog_disconnections = 0\n\
         server_tls_sslmode = disable\n",
        password.unwrap_or_default()
    );
    fs::write(folder.join("pgbouncer.ini"), settings).unwrap();
}
