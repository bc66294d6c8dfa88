//! Dump and restore as docs/operating.md has them, while terminals pair.

use std::path::PathBuf;
use std::process::Command;

use diesel::prelude::*;
use pos_tests::postgres::TestDatabase;

use super::load::Load;
use super::{Deployment, Way, command_at};
use crate::{program, text};

/// A program of PostgreSQL's, of the newest version there is.
fn tool(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    let found = versions.iter().rev().map(|entry| entry.path().join("bin").join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| name.into())
}

fn run(name: &str, arguments: &[&str]) {
    let output = Command::new(tool(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dump_under_load_is_one_moment_and_serves() {
    let mut deployment = Deployment::new(Way::Direct, &[]).await;
    let _replicas = tokio::task::block_in_place(|| deployment.replicas(1));
    let devices = tokio::task::block_in_place(|| deployment.devices(2_000));
    deployment.initiate().await;
    let load = Load::start(&deployment, 6, devices);
    load.more(200).await;

    let before = load.claimed();
    let dump = deployment.folder.path().join("pos.dump").display().to_string();
    tokio::task::block_in_place(|| {
        run("pg_dump", &["--format=custom", "--file", &dump, "--dbname", &deployment.url]);
    });
    load.more(50).await;
    let outcome = load.stop().await;
    assert!(!before.is_empty() && before.len() < outcome.claimed.len());

    let restored = TestDatabase::empty().await;
    tokio::task::block_in_place(|| {
        run("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", restored.url(), &dump]);
        command_at(deployment.folder.path(), restored.url(), &["audit", "verify"]);
    });
    let client = restored.client().await;
    let kept = "SELECT count(*) FROM devices WHERE status = 'claimed' AND device_id = ANY($1)";
    let kept: i64 = client.query_one(kept, &[&before]).await.unwrap().get(0);
    assert_eq!(kept, i64::try_from(before.len()).unwrap(), "what was answered before the dump is in it");

    // The copy serves: sessions hold, and a terminal that had no code pairs.
    deployment.variables.retain(|(key, _)| *key != "POS__DATABASE__URL");
    deployment.variables.push(("POS__DATABASE__URL", restored.url().to_owned()));
    deployment.balancer = pos_tests::balancer::Balancer::start();
    let _restored_replica = tokio::task::block_in_place(|| deployment.replicas(1));
    let free = "SELECT device_id FROM devices WHERE status = 'inactive' ORDER BY device_id LIMIT 20";
    let free = client.query(free, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let load = Load::start(&deployment, 4, free);
    load.until(|load| load.claimed().len() >= 10).await;
    load.stop().await;
    tokio::task::block_in_place(|| command_at(deployment.folder.path(), restored.url(), &["audit", "verify"]));
    deployment.idp.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_of_the_embedded_database_under_load_is_one_moment() {
    let mut deployment = Deployment::new(Way::Embedded, &[]).await;
    let _replica = tokio::task::block_in_place(|| deployment.replicas(1));
    let devices = tokio::task::block_in_place(|| deployment.devices(500));
    deployment.initiate().await;
    let load = Load::start(&deployment, 4, devices);
    load.more(60).await;
    let before = load.claimed();
    let copy = deployment.folder.path().join("copy.db");
    let to = copy.display().to_string();
    tokio::task::block_in_place(|| deployment.command(&["backup", "--to", &to]));
    load.more(20).await;
    let outcome = load.stop().await;
    assert!(!before.is_empty() && before.len() < outcome.claimed.len());

    tokio::task::block_in_place(|| {
        command_at(deployment.folder.path(), &format!("sqlite://{to}"), &["audit", "verify"]);
        let again = program(deployment.folder.path()).args(["backup", "--to", &to]).output().unwrap();
        assert!(!again.status.success() && text(&again.stderr).contains("is there already"), "{again:?}");
    });
    let mut copied = SqliteConnection::establish(&to).unwrap();
    let claimed = diesel::dsl::sql::<diesel::sql_types::Text>("SELECT device_id FROM devices WHERE status = 'claimed'");
    let claimed: Vec<String> = claimed.load(&mut copied).unwrap();
    assert!(before.iter().all(|device| claimed.contains(device)), "what was answered before the copy is in it");
    deployment.idp.stop().await;
}
