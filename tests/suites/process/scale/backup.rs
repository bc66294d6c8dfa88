//! Tests of dump and restore, as docs/operating.md describes them, under load.

use std::path::PathBuf;
use std::process::Command;

use diesel::prelude::*;
use pos_tests::postgres::TestDatabase;

use super::load::Load;
use super::{Deployment, Way, command_at};
use crate::finish::Finish as _;
use crate::{program, text};

/// Path of a PostgreSQL program, in the newest installed version.
fn tool(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0));
    let found = versions.iter().rev().map(|entry| entry.path().join("bin").join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| name.into())
}

fn run(name: &str, arguments: &[&str]) {
    let output = Command::new(tool(name)).args(arguments).finish();
    assert!(output.status.success(), "{name}: {}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dump_under_load_is_consistent_and_can_be_served() {
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
    let claimed = "SELECT count(*) FROM devices WHERE status = 'claimed' AND device_id = ANY($1)";
    let claimed: i64 = client.query_one(claimed, &[&before]).await.unwrap().get(0);
    assert_eq!(claimed, i64::try_from(before.len()).unwrap(), "claims answered before the dump are in it");

    // The copy can be served: sessions are valid, and a terminal that had no code pairs.
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

/// Privileges of a role on every table and on the schema, and default privileges.
async fn privileges(database: &TestDatabase, role: &str) -> Vec<String> {
    let query = "SELECT relname || ' ' || privilege || ' ' || has_table_privilege($1, oid, privilege)
            FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS privilege
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION ALL SELECT 'schema ' || privilege || ' ' || has_schema_privilege($1, 'public', privilege)
            FROM unnest(ARRAY['USAGE', 'CREATE']) AS privilege
        UNION ALL SELECT 'default ' || defaclobjtype::text || ' ' || defaclacl::text FROM pg_default_acl
        UNION ALL SELECT relname || ' is owned by ' || pg_get_userbyid(relowner)
            FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        ORDER BY 1";
    database.client().await.query(query, &[&role]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// SQL from docs/operating.md, from the line with `begins` to the end of its block, with these roles.
fn documented(begins: &str, owner: &str, app: &str) -> String {
    let page = include_str!("../../../../docs/operating.md");
    let block = page.split("```").find(|block| block.contains(begins)).expect("the block is there");
    let lines: Vec<_> = block.lines().skip_while(|line| !line.contains(begins)).collect();
    lines.join("\n").replace("pos_owner", owner).replace("pos_app", app)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_has_the_privileges_of_the_original() {
    let (original, restored) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let client = original.client().await;
    let (owner, app) = (format!("owner_of_{}", original.name()), format!("app_of_{}", original.name()));
    client.batch_execute(&format!("CREATE ROLE {owner} LOGIN; CREATE ROLE {app} LOGIN")).await.unwrap();
    for database in [&original, &restored] {
        let given = format!("ALTER DATABASE {} OWNER TO {owner}", database.name());
        client.batch_execute(&given).await.unwrap();
    }
    client.batch_execute(&documented("ALTER SCHEMA public OWNER", &owner, &app)).await.unwrap();
    let as_owner = |database: &TestDatabase| {
        let (_, location) = database.url().split_once('@').unwrap();
        format!("postgres://{owner}@{location}")
    };
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("pos.dump").display().to_string();
    tokio::task::block_in_place(|| command_at(folder.path(), &as_owner(&original), &["migrate"]));
    client.batch_execute(&documented("REVOKE DELETE ON", &owner, &app)).await.unwrap();
    let before = privileges(&original, &app).await;
    assert!(before.contains(&"device_events DELETE false".to_owned()), "{before:?}");
    assert!(before.contains(&"sessions DELETE true".to_owned()), "{before:?}");
    // In the documented order: first the schema, then the dump.
    let page = documented("createdb --owner", &owner, &app);
    let (_, statements) = page.split_once("--command='").unwrap();
    restored.client().await.batch_execute(statements.split_once('\'').unwrap().0).await.unwrap();
    tokio::task::block_in_place(|| {
        run("pg_dump", &["--format=custom", "--file", &dump, "--dbname", &as_owner(&original)]);
        run("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", &as_owner(&restored), &dump]);
    });
    let after = privileges(&restored, &app).await;
    for database in [&original, &restored] {
        let taken = format!("REASSIGN OWNED BY {owner} TO CURRENT_USER; DROP OWNED BY {app}; DROP OWNED BY {owner}");
        database.client().await.batch_execute(&taken).await.unwrap();
    }
    client.batch_execute(&format!("DROP ROLE {owner}; DROP ROLE {app}")).await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_copy_of_the_embedded_database_under_load_is_consistent() {
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
        let again = program(deployment.folder.path()).args(["backup", "--to", &to]).finish();
        assert!(!again.status.success() && text(&again.stderr).contains("already exists"), "{again:?}");
    });
    let mut copied = SqliteConnection::establish(&to).unwrap();
    let claimed = diesel::dsl::sql::<diesel::sql_types::Text>("SELECT device_id FROM devices WHERE status = 'claimed'");
    let claimed: Vec<String> = claimed.load(&mut copied).unwrap();
    assert!(before.iter().all(|device| claimed.contains(device)), "claims answered before the copy are in it");
    deployment.idp.stop().await;
}
