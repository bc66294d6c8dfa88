//! Two processes on one PostgreSQL.

use std::sync::Arc;

use pos_adapters::clock::{SystemClock, SystemEntropy};
use pos_dev_idp::{DevIdp, DevIdpSettings, MintOptions};
use pos_port_clock::Clock as _;
use pos_tests::postgres::TestDatabase;
use serde_json::json;

use crate::process::Serving;
use crate::{MERCHANT, program, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_are_counted_over_processes_and_their_restarts() {
    let database = TestDatabase::migrated().await;
    let issuer = DevIdpSettings::default();
    let idp = DevIdp::start(issuer, ([127, 0, 0, 1], 0).into(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let idp = idp.await.unwrap();
    let now = SystemClock.now().unix_timestamp();
    let claims = json!({
        "iss": idp.issuer(), "sub": "ann", "aud": "pos-activation", "typ": "Bearer", "iat": now, "exp": now + 3_600,
        "merchant_id": MERCHANT,
    });
    let token = idp.mint(&claims, MintOptions::default()).unwrap();
    let variables = [
        ("POS__DATABASE__URL", database.url()),
        ("POS__IDENTITY__ISSUER", idp.issuer()),
        ("POS__CLAIM__MAX_FAILURES", "3"),
        // What is counted here is guesses; a session would only be more to set up.
        ("POS__SESSION__REQUIRED", "false"),
    ];
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    tokio::task::block_in_place(|| {
        let one = Serving::start(folders[0].path(), &variables);
        let other = Serving::start(folders[1].path(), &variables);
        let mut add = program(folders[0].path());
        add.args(["device", "add", "--merchant", MERCHANT]).env("POS__DATABASE__URL", database.url());
        let device = text(&add.output().unwrap().stdout).trim().to_owned();
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
        assert!(poll.contains("\"pairing_code_status\":\"pending\""), "terminals are not held up: {poll}");
    });
    idp.stop().await;
}
