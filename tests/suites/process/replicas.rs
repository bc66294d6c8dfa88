//! Tests of two processes on one PostgreSQL database.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintOptions};
use pos_port_clock::Clock as _;
use pos_tests::postgres::TestDatabase;
use serde_json::json;

use crate::finish::Finish as _;
use crate::process::Serving;
use crate::{MERCHANT, program, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_codes_are_counted_across_processes_and_restarts() {
    let database = TestDatabase::migrated().await;
    let issuer = DevIdpSettings::default();
    let idp = DevIdp::start(issuer, ([127, 0, 0, 1], 0).into(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let idp = idp.await.unwrap();
    let now = SystemClock.now().unix_timestamp();
    let claims = json!({
        "iss": idp.issuer(), "sub": "ann", "aud": "pos-activation", "typ": "Bearer", "iat": now, "exp": now + 3_600,
        "merchant_id": MERCHANT, "roles": ["merchant-operator"],
    });
    let token = idp.mint(&claims, MintOptions::default()).unwrap();
    let variables = [
        ("POS__DATABASE__URL", database.url()),
        ("POS__IDENTITY__ISSUER", idp.issuer()),
        ("POS__CLAIM__MAX_FAILURES", "3"),
    ];
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    tokio::task::block_in_place(|| {
        let one = Serving::start(folders[0].path(), &variables);
        let other = Serving::start(folders[1].path(), &variables);
        let command = |arguments: &[&str]| {
            let mut command = program(folders[0].path());
            let output = command.args(arguments).env("POS__DATABASE__URL", database.url()).finish();
            assert!(output.status.success(), "{output:?}");
            text(&output.stdout).trim().to_owned()
        };
        command(&["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
        command(&["member", "add", "--user", "ann", "--merchant", MERCHANT, "--role", "operator"]);
        let initiated = one.initiate(&token);
        assert!(initiated.starts_with("HTTP/1.1 200"), "{initiated}");
        let device = command(&["device", "add", "--merchant", MERCHANT]);
        let issued = one.terminal("POST /pos/pairing-code", &device, &[]);
        let code = issued.split('"').nth(3).unwrap().to_owned();
        for serving in [&one, &other, &one] {
            let answer = serving.claim(&token, "ZZZZZZ");
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"4004\""), "{answer}");
        }
        drop(one);
        let one = Serving::start(folders[0].path(), &variables);
        for serving in [&other, &one] {
            let answer = serving.claim(&token, &code);
            assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "), "{answer}");
        }
        let poll = other.terminal("GET /pos/status", &device, &[]);
        assert!(poll.contains("\"pairing_code_status\":\"pending\""), "terminals are not affected: {poll}");
    });
    idp.stop().await;
}

/// A process that is killed when dropped, even if it is stopped.
struct Process(Child);

impl Process {
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Its connection stays open but sends nothing more.
#[tokio::test]
async fn a_process_that_is_stopped_in_a_transaction_releases_its_locks() {
    let database = TestDatabase::migrated().await;
    let (holder, client) = (database.client().await, database.client().await);
    let until = async |condition: &str, count: i64| {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND application_name = 'pos-activation' AND {condition}"
        );
        let counted = async {
            while client.query_one(&query, &[]).await.unwrap().get::<_, i64>(0) != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), counted)
            .await
            .unwrap_or_else(|_| panic!("{condition}: not {count}"));
    };
    let shop =
        format!("INSERT INTO merchants (merchant_id, name, created_at) VALUES ('{MERCHANT}', 'Corner Shop', now())");
    holder.batch_execute(&shop).await.unwrap();
    holder.batch_execute("BEGIN; LOCK TABLE devices IN SHARE MODE").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut add = program(folder.path());
    add.args(["device", "add", "--merchant", MERCHANT]).stdout(Stdio::null()).stderr(Stdio::null());
    add.env("POS__DATABASE__URL", database.url()).env("POS__DATABASE__STATEMENT_TIMEOUT_MS", "8000");
    let adding = Process(add.spawn().unwrap());
    until("wait_event_type = 'Lock'", 1).await;
    adding.signal("STOP");
    holder.batch_execute("ROLLBACK").await.unwrap();
    until("state = 'idle in transaction'", 1).await;
    until("state = 'idle in transaction'", 0).await;
    client.batch_execute("BEGIN; LOCK TABLE devices IN EXCLUSIVE MODE NOWAIT; ROLLBACK").await.unwrap();
}
