//! Test of a rolling upgrade under load, as docs/operating.md describes it: expand, replace, backfill, contract.
//!
//! The old and the new replicas are the same program. The schema of the next version is defined by this test: a column that
//! the running program does not know.

use tokio_postgres::Client as Database;

use super::load::Load;
use super::{Deployment, Way};

/// Schema change of the next version: the label in lower case, for searches. A trigger fills it in rows that the old version
/// writes.
const EXPAND: &str = "
    SET lock_timeout = '1s';
    BEGIN;
    ALTER TABLE devices ADD COLUMN search_label text;
    CREATE TABLE search_synonyms (word text PRIMARY KEY, means text NOT NULL);
    CREATE FUNCTION fill_search_label() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.search_label := lower(coalesce(NEW.label, NEW.device_id)); RETURN NEW; END $$;
    CREATE TRIGGER fill_search_label BEFORE INSERT OR UPDATE ON devices
        FOR EACH ROW EXECUTE FUNCTION fill_search_label();
    INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000');
    COMMIT";

const BACKFILL: &str = "
    UPDATE devices SET search_label = lower(coalesce(label, device_id))
    WHERE device_id IN (
        SELECT device_id FROM devices WHERE search_label IS NULL ORDER BY device_id LIMIT 100 FOR UPDATE SKIP LOCKED
    )";

/// The constraint is validated without blocking writers; then SET NOT NULL needs no scan of the table.
const CONTRACT: [&str; 3] = [
    "ALTER TABLE devices ADD CONSTRAINT search_label_there CHECK (search_label IS NOT NULL) NOT VALID",
    "ALTER TABLE devices VALIDATE CONSTRAINT search_label_there",
    "ALTER TABLE devices ALTER COLUMN search_label SET NOT NULL, DROP CONSTRAINT search_label_there",
];

/// Runs a schema change as an operator does, with a short lock timeout and retries.
async fn change(database: &Database, statements: &str) {
    for _ in 0..30 {
        match database.batch_execute(statements).await {
            Ok(()) => return,
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) => {
                database.batch_execute("ROLLBACK").await.unwrap();
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("the tables stay locked")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rolling_upgrade_under_load_fails_no_request() {
    let mut deployment = Deployment::new(Way::Direct, &[]).await;
    let mut old = tokio::task::block_in_place(|| deployment.replicas(2));
    let devices = tokio::task::block_in_place(|| deployment.devices(3_000));
    deployment.initiate().await;
    let database = deployment.database().client().await;
    let load = Load::start(&deployment, 6, devices);
    load.more(100).await;

    change(&database, EXPAND).await;
    load.more(100).await;
    let mut new = Vec::new();
    for mut leaving in old.drain(..) {
        let replica = tokio::task::block_in_place(|| deployment.replica());
        deployment.balancer.add(&replica.serving.address);
        load.until(|_| tokio::task::block_in_place(|| replica.answered()) > 20).await;
        tokio::task::block_in_place(|| leaving.stop());
        new.push(replica);
    }
    let mut filled = 0;
    loop {
        let rows = database.execute(BACKFILL, &[]).await.unwrap();
        filled += rows;
        if rows == 0 {
            break;
        }
    }
    assert!(filled > 1_000, "{filled} rows were backfilled");
    for step in CONTRACT {
        change(&database, step).await;
    }
    load.more(100).await;
    let outcome = load.stop().await;

    let claimed = "SELECT count(*) FROM devices WHERE status = 'claimed' AND search_label = lower(device_id)";
    let stored: i64 = database.query_one(claimed, &[]).await.unwrap().get(0);
    assert_eq!(stored, i64::try_from(outcome.claimed.len()).unwrap(), "no claim is lost");
    tokio::task::block_in_place(|| deployment.command(&["audit", "verify"]));
    deployment.idp.stop().await;
}
