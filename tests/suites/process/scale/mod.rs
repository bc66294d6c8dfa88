//! Tests of several replicas on one PostgreSQL behind a TCP load balancer, with and without PgBouncer.

mod backup;
mod balanced;
mod load;
mod upgrade;

use std::path::Path;
use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintOptions, RunningDevIdp};
use pos_port_clock::Clock as _;
use pos_tests::balancer::Balancer;
use pos_tests::pgbouncer::PgBouncer;
use pos_tests::postgres::TestDatabase;
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;

use crate::finish::Finish as _;
use crate::process::Serving;
use crate::{MERCHANT, program, text};

/// How the replicas reach the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Pooled,
    /// No PostgreSQL: one replica with an embedded database.
    Embedded,
}

/// A deployment: the database, the issuer, the load balancer, and the settings of the replicas.
struct Deployment {
    database: Option<TestDatabase>,
    url: String,
    variables: Vec<(&'static str, String)>,
    balancer: Balancer,
    token: String,
    folder: TempDir,
    idp: RunningDevIdp,
    _pooler: Option<PgBouncer>,
}

/// A replica and its working directory.
struct Replica {
    serving: Serving,
    _folder: TempDir,
}

impl Deployment {
    async fn new(way: Way, more: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = match way {
            Way::Embedded => None,
            _ => Some(TestDatabase::migrated().await),
        };
        let embedded = format!("sqlite://{}", folder.path().join("pos.db").display());
        let url = database.as_ref().map_or(embedded, |database| database.url().to_owned());
        let issuer = DevIdpSettings::default();
        let idp = DevIdp::start(issuer, ([127, 0, 0, 1], 0).into(), Arc::new(SystemClock), Arc::new(SystemEntropy));
        let idp = idp.await.unwrap();
        let pooler = (way == Way::Pooled).then(|| PgBouncer::before(&url));
        let mut variables = vec![
            ("POS__IDENTITY__ISSUER", idp.issuer().to_owned()),
            ("POS__HTTP__WORKERS", "2".to_owned()),
            ("POS__LIMITS__DEVICE_PER_MINUTE", "0".to_owned()),
            ("POS__DATABASE__MIGRATE_ON_START", "false".to_owned()),
            // Longer than the load balancer needs to notice.
            ("POS__SHUTDOWN__READINESS_DELAY_SECS", "2".to_owned()),
        ];
        match &pooler {
            None => variables.push(("POS__DATABASE__URL", url.clone())),
            Some(pooler) => variables.extend([
                ("POS__DATABASE__URL", pooler.url(&url)),
                ("POS__DATABASE__POOLER", "transaction".to_owned()),
                ("POS__DATABASE__DIRECT_URL", url.clone()),
            ]),
        }
        variables.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let now = SystemClock.now().unix_timestamp();
        let claims = json!({
            "iss": idp.issuer(), "sub": "ann", "aud": "pos-activation", "typ": "Bearer", "iat": now, "exp": now + 3_600,
            "merchant_id": MERCHANT, "roles": ["merchant-admin"], "sid": "one-session",
        });
        let token = idp.mint(&claims, MintOptions::default()).unwrap();
        let deployed =
            Self { database, url, variables, balancer: Balancer::start(), token, folder, idp, _pooler: pooler };
        deployed.command(&["migrate"]);
        deployed.command(&["merchant", "add", "--name", "Corner Shop", "--id", MERCHANT]);
        deployed.command(&["member", "add", "--user", "ann", "--merchant", MERCHANT, "--role", "admin"]);
        deployed
    }

    /// Runs an operator's command, directly on the database.
    fn command(&self, arguments: &[&str]) -> String {
        command_at(self.folder.path(), &self.url, arguments)
    }

    fn database(&self) -> &TestDatabase {
        self.database.as_ref().expect("a PostgreSQL database")
    }

    /// Initiates the session of the token.
    async fn initiate(&self) {
        let request = Client::new().post(format!("{}/session/initiate", self.balancer.url())).bearer_auth(&self.token);
        let answer = request.json(&json!({ "host": "merchant.viopay.io" })).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
    }

    fn devices(&self, count: u32) -> Vec<String> {
        let ids = self.command(&["device", "add", "--merchant", MERCHANT, "--yes", "--count", &count.to_string()]);
        ids.lines().map(str::to_owned).collect()
    }

    /// Starts a replica and waits until it is ready.
    fn replica(&self) -> Replica {
        let folder = tempfile::tempdir().unwrap();
        let variables: Vec<_> = self.variables.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut serving = Serving::start(folder.path(), &variables);
        serving.wait_for(|serving| serving.ask("GET /health/ready", &[]).contains("\"identity\":\"ok\"").then_some(()));
        Replica { serving, _folder: folder }
    }

    /// Starts replicas and adds them to the load balancer.
    fn replicas(&mut self, count: usize) -> Vec<Replica> {
        let replicas: Vec<_> = (0..count).map(|_| self.replica()).collect();
        replicas.iter().for_each(|replica| self.balancer.add(&replica.serving.address));
        replicas
    }
}

impl Replica {
    /// Number of requests of terminals and merchants it has answered.
    fn answered(&self) -> u64 {
        let metrics = self.serving.ask("GET /metrics", &[]);
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("pos_http_requests_total{") && line.contains("route=\"/pos/"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum()
    }

    /// Stops it as a supervisor does, and waits until it has exited.
    fn stop(&mut self) {
        self.serving.signal("TERM");
        assert!(self.serving.exit().success(), "{}", self.serving.log());
    }
}

fn command_at(folder: &Path, url: &str, arguments: &[&str]) -> String {
    let output = program(folder).args(arguments).env("POS__DATABASE__URL", url).finish();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}
