//! PostgreSQL database per test.
//!
//! The server is the one of `POS_TEST_POSTGRES_URL` (its user needs the right to create databases), or else the temporary
//! one that `scripts/test-postgres start` starts. Without either, tests fail: they are never skipped.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use pos_adapters::storage;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls, config::Host};

use crate::stores::options;

/// Advisory lock that serializes the creation of the template among all test processes of a server.
const TEMPLATE_LOCK: i64 = 0x706F_735F_7465_7374;

static ADMIN: OnceCell<String> = OnceCell::const_new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database that only this test uses. It is dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin: String,
}

impl TestDatabase {
    /// A database with the current schema and no rows.
    pub async fn migrated() -> Self {
        let template = TEMPLATE.get_or_init(create_template).await;
        Self::create(&format!("TEMPLATE {template}")).await
    }

    /// A database without a schema.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(how: &str) -> Self {
        let admin = admin_url().await.to_owned();
        let name = format!("pos_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let client = connect(&admin).await;
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} {how}")).await.unwrap();
        Self { url: database_url(&admin, &name), name, admin }
    }

    /// Its connection URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens a connection of its own, independent of any store.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// Terminates every connection to the database, as a restart of the server would.
    pub async fn terminate_connections(&self) {
        let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1";
        connect(&self.admin).await.query_one(terminate, &[&self.name]).await.unwrap();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // A separate thread, because the test's runtime may be running this. A database that cannot be dropped remains
        // until `scripts/test-postgres stop`.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                connect(&admin).await.batch_execute(&drop).await.unwrap();
            });
        });
        if dropper.join().is_err() {
            eprintln!("the test database {} could not be dropped", self.name);
        }
    }
}

/// Opens a connection that the current runtime drives.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server accepts connections");
    tokio::spawn(connection);
    client
}

async fn admin_url() -> &'static str {
    ADMIN.get_or_init(|| async { tokio::task::spawn_blocking(find_server).await.unwrap() }).await
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn find_server() -> String {
    if let Ok(url) = std::env::var("POS_TEST_POSTGRES_URL") {
        return url;
    }
    let script = repository().join("scripts/test-postgres");
    let started = Command::new(&script).arg("start").output().expect("scripts/test-postgres can be run");
    let message = String::from_utf8_lossy(&started.stderr);
    assert!(started.status.success(), "no PostgreSQL for the tests: {message}");
    String::from_utf8(started.stdout).unwrap().trim().to_owned()
}

/// The URL of another database of the same server.
fn database_url(admin: &str, name: &str) -> String {
    let config: Config = admin.parse().expect("POS_TEST_POSTGRES_URL is a PostgreSQL URL");
    let Some(Host::Tcp(host)) = config.get_hosts().first() else { panic!("POS_TEST_POSTGRES_URL names no TCP host") };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or("postgres");
    let password = config.get_password().map(|word| format!(":{}", percent_encoded(word))).unwrap_or_default();
    format!("postgres://{}{password}@{host}:{port}/{name}", percent_encoded(user.as_bytes()))
}

fn percent_encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// The name of the template with exactly the current migrations: it contains their hash.
fn template_name() -> String {
    let mut hasher = DefaultHasher::new();
    let mut folders: Vec<_> =
        fs::read_dir(repository().join("migrations/postgres")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders {
        folder.file_name().unwrap().hash(&mut hasher);
        fs::read_to_string(folder.join("up.sql")).unwrap().hash(&mut hasher);
    }
    format!("pos_template_{:016x}", hasher.finish())
}

/// Creates the template unless another process has. It is renamed last, so an incomplete template is never used.
async fn create_template() -> String {
    let admin = admin_url().await;
    let (client, template) = (connect(admin).await, template_name());
    client.execute("SELECT pg_advisory_lock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
    let existing = client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&template]).await.unwrap();
    if existing.is_none() {
        let draft = format!("{template}_draft");
        client.batch_execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {draft}")).await.unwrap();
        storage::migrate(&options(database_url(admin, &draft).parse().unwrap())).await.unwrap();
        client.batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {template}")).await.unwrap();
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&TEMPLATE_LOCK]).await.unwrap();
    template
}
