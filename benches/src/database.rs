//! Database of a run: checks, provisioning, and reset between measurements.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _, stream};
use pos_adapters::clock::SystemClock;
use pos_adapters::storage;
use pos_domain::shared::{AuditContext, MerchantId, Name, Party, Role, UserId};
use pos_domain::tenancy::Member;
use pos_server::settings::Settings;
use pos_server::wiring::{AdminUseCases, storage_options};
use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::fleet::Fleet;

/// Number of devices in one statement.
const BATCH: usize = 1_000;

/// The server's setting for its database.
pub(crate) const DATABASE_URL: &str = "POS__DATABASE__URL";

/// The server's default settings with this database.
pub(crate) fn settings_for(url: &str) -> anyhow::Result<Settings> {
    Ok(Settings::load(None, std::iter::once((DATABASE_URL.to_owned(), url.to_owned())))?)
}

/// Migrates the database, and provisions a merchant with its user for each claimant, and these devices.
pub(crate) async fn provision(
    settings: &Settings,
    devices: impl Iterator<Item = u32>,
    fleet: Fleet,
) -> anyhow::Result<()> {
    let options = storage_options(settings)?;
    storage::migrate(&options).await?;
    let admin = AdminUseCases::open(settings).await?;
    for claimant in 0..fleet.claimants() {
        let id = MerchantId(crate::fleet::merchant(claimant));
        admin
            .use_cases
            .tenancy
            .directory
            .add_merchant(Name::parse("Bench")?, None, Some(id), AuditContext::operator())
            .await?;
        let user_id = UserId::parse(&crate::fleet::user(claimant))?;
        let member = Member { user_id, party: Party::Merchant(id), role: Role::Admin };
        admin.use_cases.tenancy.members.add(member, AuditContext::operator()).await?;
    }
    let store = admin.storage.storage.fleet;
    let new = devices.map(|device| fleet.provision(device, &SystemClock)).collect::<anyhow::Result<Vec<_>>>()?;
    for batch in new.chunks(BATCH) {
        store.create(pos_domain::shared::Scope::Operator, batch, None).await?;
    }
    Ok(())
}

/// A direct connection to the database.
pub(crate) struct Database {
    client: Client,
    url: String,
}

impl Database {
    /// Connects. Fails if the database is not empty or not durable.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("cannot connect to PostgreSQL")?;
        tokio::spawn(connection);
        let this = Self { client, url: url.to_owned() };
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let value = this.show(setting).await?;
            anyhow::ensure!(value == "on", "{setting} is {value}: the measurements require durable writes");
        }
        let used: bool = this.client.query_one("SELECT to_regclass('devices') IS NOT NULL", &[]).await?.get(0);
        anyhow::ensure!(!used, "the database is not empty: the measurements write and delete, use an empty one");
        Ok(this)
    }

    async fn show(&self, setting: &str) -> anyhow::Result<String> {
        Ok(self.client.query_one("SELECT current_setting($1)", &[&setting]).await?.get(0))
    }

    pub(crate) async fn description(&self) -> anyhow::Result<String> {
        let mut settings = Vec::new();
        for setting in
            ["fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "huge_pages", "max_wal_size"]
        {
            settings.push(format!("{setting} {}", self.show(setting).await?));
        }
        Ok(format!("PostgreSQL  {}, {}", self.show("server_version").await?, settings.join(", ")))
    }

    /// Creates the schema, this fleet, and a function that generates codes.
    pub(crate) async fn provision_fleet(&self, fleet: Fleet) -> anyhow::Result<()> {
        self.provision(fleet.all(), fleet).await
    }

    /// The same without devices.
    pub(crate) async fn create_schema(&self, fleet: Fleet) -> anyhow::Result<()> {
        self.provision(std::iter::empty(), fleet).await
    }

    async fn provision(&self, devices: impl Iterator<Item = u32>, fleet: Fleet) -> anyhow::Result<()> {
        provision(&settings_for(&self.url)?, devices, fleet).await?;
        // Five bits for each symbol of the documented alphabet, A-Z2-9 without O and I.
        let symbols: Vec<String> = (0..6)
            .map(|i| format!("substr('ABCDEFGHJKLMNPQRSTUVWXYZ23456789', 1 + ($1 >> {} & 31)::int, 1)", 5 * i))
            .collect();
        let body = symbols.join(" || ");
        let function = format!(
            "CREATE FUNCTION bench_code(bigint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $f$ SELECT {body} $f$"
        );
        Ok(self.client.batch_execute(&function).await?)
    }

    /// Inserts devices that are only polled, with terminal info and a code that is pending for a day. In one statement,
    /// because the tables need a million.
    pub(crate) async fn add_pollers(&self, devices: std::ops::Range<u32>) -> anyhow::Result<()> {
        let (first, last) = (i64::from(devices.start), i64::from(devices.end) - 1);
        let sql = format!(
            "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status, pairing_code, code_issued_at,
                 code_expires_at, app_version, os, model, seen_at)
             SELECT 'POS-' || n::text, '{}', 2, now(), 'inactive', bench_code(n), now(), now() + interval '1 day',
                 '1.4.2', 'Android 12', 'PAX-A920', now()
             FROM generate_series({first}::bigint, {last}::bigint) AS n",
            crate::fleet::merchant(0)
        );
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// Inserts a device for each possible response to a poll, at these numbers: without a code, with a pending code, with
    /// an expired code, and claimed.
    pub(crate) async fn add_examples(&self, [none, pending, expired, used]: [u32; 4]) -> anyhow::Result<()> {
        self.add_pollers(pending..pending + 1).await?;
        let id = crate::fleet::device_id;
        let copies = [
            (none, "'inactive', NULL, NULL, NULL, NULL, NULL"),
            (expired, "'inactive', 'AAAAA2', now() - interval '1 hour', now() - interval '55 minutes', NULL, NULL"),
            (used, "'claimed', 'AAAAA3', now(), now() + interval '5 minutes', 'bench-0', now()"),
        ];
        for (number, values) in copies {
            let sql = format!(
                "INSERT INTO devices (device_id, merchant_id, version, provisioned_at, status, pairing_code,
                     code_issued_at, code_expires_at, claimed_by, claimed_at, app_version, os, model, seen_at)
                 SELECT '{}', merchant_id, 2, now(), {values}, app_version, os, model, seen_at
                 FROM devices WHERE device_id = '{}'",
                id(number),
                id(pending)
            );
            self.client.batch_execute(&sql).await?;
        }
        Ok(())
    }

    /// Reads all rows of a table with COPY.
    pub(crate) async fn copy_out(&self, table: &str) -> anyhow::Result<Vec<Bytes>> {
        let rows = self.client.copy_out(&format!("COPY {table} TO STDOUT")).await?;
        rows.try_collect().await.with_context(|| format!("reading {table}"))
    }

    /// Writes rows of several tables with COPY, in one transaction. Returns how long that took.
    pub(crate) async fn copy_in(&mut self, tables: Vec<(&str, Vec<Bytes>)>) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let transaction = self.client.transaction().await?;
        for (table, rows) in tables {
            let mut sink = pin!(transaction.copy_in(&format!("COPY {table} FROM STDIN")).await?);
            sink.send_all(&mut stream::iter(rows.into_iter().map(Ok))).await?;
            sink.finish().await.with_context(|| format!("writing {table}"))?;
        }
        transaction.commit().await?;
        Ok(started.elapsed())
    }

    /// Creates an empty database on the same server. Returns its URL.
    pub(crate) async fn create_sibling(&self, name: &str) -> anyhow::Result<String> {
        let mut url = Url::parse(&self.url).context("the database's URL")?;
        url.set_path(name);
        self.client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        Ok(url.into())
    }

    /// Removes all pending codes, so that measurements are independent.
    pub(crate) async fn remove_codes(&self) -> anyhow::Result<()> {
        let sql = "UPDATE devices SET pairing_code = NULL, code_issued_at = NULL, code_expires_at = NULL \
                   WHERE status = 'inactive' AND pairing_code IS NOT NULL";
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Assigns the code `bench_code(number)` to each of these devices.
    pub(crate) async fn assign_codes(&self, devices: std::ops::Range<u32>) -> anyhow::Result<()> {
        let (first, last) = (i64::from(devices.start), i64::from(devices.end) - 1);
        let sql = format!(
            "WITH changed AS (
                 UPDATE devices SET version = version + 1, pairing_code = bench_code(n), code_issued_at = now(),
                     code_expires_at = now() + interval '300 s'
                 FROM generate_series({first}::bigint, {last}::bigint) AS n WHERE device_id = 'POS-' || n::text
                 RETURNING device_id, version, merchant_id
             )
             INSERT INTO device_events (device_id, sequence, merchant_id, at, actor, kind)
             SELECT device_id, version, merchant_id, now(), 'terminal', 'pairing_code_issued' FROM changed"
        );
        Ok(self.client.batch_execute(&sql).await?)
    }

    /// The same initial state for every measurement: no dead rows, current statistics, no checkpoint due.
    pub(crate) async fn vacuum_and_checkpoint(&self) -> anyhow::Result<()> {
        for sql in ["VACUUM (ANALYZE) devices, device_events, past_pairing_codes, claim_failures", "CHECKPOINT"] {
            self.client.batch_execute(sql).await?;
        }
        Ok(())
    }

    /// The number of codes issued so far, from the audit trail.
    pub(crate) async fn codes_issued(&self) -> anyhow::Result<u64> {
        let sql = "SELECT count(*) FROM device_events WHERE kind = 'pairing_code_issued'";
        Ok(u64::try_from(self.client.query_one(sql, &[]).await?.get::<_, i64>(0))?)
    }

    /// The number of claimed devices in this range.
    pub(crate) async fn claimed(&self, devices: std::ops::Range<u32>) -> anyhow::Result<i64> {
        let (first, last) = (crate::fleet::device_id(devices.start), crate::fleet::device_id(devices.end - 1));
        let sql = "SELECT count(*) FROM devices WHERE device_id BETWEEN $1 AND $2 AND status = 'claimed'";
        Ok(self.client.query_one(sql, &[&first, &last]).await?.get(0))
    }
}
