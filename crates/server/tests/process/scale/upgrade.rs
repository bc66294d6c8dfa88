//! A rolling upgrade as docs/operating.md has it: expand, replace, move the data, contract, while terminals pair.
//!
//! The replicas before and after are the same program: the next version's schema is this test's own, and stands for one
//! with a column that the program running before knows nothing of.

use tokio_postgres::Client as Database;

use super::load::Load;
use super::{Deployment, Way};

/// What the next version wants: the label in lower case, to search by. Rows that the version before writes get it from a
/// trigger.
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

/// The check is made without holding anybody up; then NOT NULL needs no look at the rows.
const CONTRACT: [&str; 3] = [
    "ALTER TABLE devices ADD CONSTRAINT search_label_there CHECK (search_label IS NOT NULL) NOT VALID",
    "ALTER TABLE devices VALIDATE CONSTRAINT search_label_there",
    "ALTER TABLE devices ALTER COLUMN search_label SET NOT NULL, DROP CONSTRAINT search_label_there",
];

/// As an operator does it: not waiting long for anybody, and trying again.
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
    panic!("the tables are never free")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_schema_and_the_replicas_change_under_terminals_that_pair() {
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
    assert!(filled > 1_000, "{filled} rows had been left");
    for step in CONTRACT {
        change(&database, step).await;
    }
    load.more(100).await;
    let outcome = load.stop().await;

    let claimed = "SELECT count(*) FROM devices WHERE status = 'claimed' AND search_label = lower(device_id)";
    let kept: i64 = database.query_one(claimed, &[]).await.unwrap().get(0);
    assert_eq!(kept, i64::try_from(outcome.claimed.len()).unwrap(), "nothing is lost");
    tokio::task::block_in_place(|| deployment.command(&["audit", "verify"]));
    deployment.idp.stop().await;
}
