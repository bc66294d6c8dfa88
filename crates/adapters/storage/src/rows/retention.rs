//! SQL of the purge that both engines share: the expiry column of each table, and the events that must stay.
//!
//! The statements are texts instead of query nodes: they run rarely and need not be cached. Both engines accept the
//! parameters `$1` and `$2`.

use diesel::Queryable;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::BigInt;
use pos_domain::audit::AuditKind;
use pos_domain::device::ChainCheckpoint;
use pos_domain::shared::DeviceId;
use pos_port_storage::audit::{ExpiredKind, Purged, PurgedBatch};

use crate::rows::reader::{CorruptRow, Reader, digest};

/// A table whose rows expire independently of each other.
pub(crate) struct PurgeTable {
    pub(crate) table: &'static str,
    /// The primary key.
    pub(crate) key: &'static str,
    /// The time column that determines expiry. It is the first column of an index.
    pub(crate) instant: &'static str,
    /// The condition for rows that may be deleted.
    pub(crate) only: String,
}

/// The table of a kind; `None` for kinds whose rows depend on each other and need more than one statement.
pub(crate) fn table_of(what: ExpiredKind) -> Option<PurgeTable> {
    let (table, key, instant) = match what {
        ExpiredKind::PastCodes => ("past_pairing_codes", "device_id, sequence", "ended_at"),
        ExpiredKind::ClaimFailures => ("claim_failures", "scope, subject", "window_started_at"),
        ExpiredKind::ClientFailures => ("client_failures", "subject", "window_started_at"),
        ExpiredKind::Sessions => ("sessions", "session_key", "ends_at"),
        ExpiredKind::Logouts => ("logouts", "kind, subject", "expires_at"),
        ExpiredKind::RevokedTokens => ("revoked_tokens", "session_key, token_key", "expires_at"),
        ExpiredKind::Idempotency => ("idempotency_keys", "party_kind, party_id, idempotency_key", "expires_at"),
        ExpiredKind::AuditEvents => ("audit_events", "number", "at"),
        ExpiredKind::Imports | ExpiredKind::DeviceEvents => return None,
    };
    let only = match what {
        ExpiredKind::AuditEvents => {
            let permanent = AuditKind::ALL.into_iter().filter(|kind| kind.is_permanent());
            let permanent: Vec<_> = permanent.map(|kind| format!("'{}'", kind.as_str())).collect();
            format!("kind NOT IN ({})", permanent.join(", "))
        }
        _ => "true".to_owned(),
    };
    Some(PurgeTable { table, key, instant, only })
}

/// Counts rows that have expired at `$1`, up to `$2`.
pub(crate) fn count_sql(what: ExpiredKind) -> String {
    let expired = match (table_of(what), what) {
        (Some(PurgeTable { table, instant, only, .. }), _) => {
            format!("SELECT 1 FROM {table} WHERE {instant} <= $1 AND {only}")
        }
        (None, ExpiredKind::Imports) => "SELECT 1 FROM imports WHERE expires_at <= $1 \
             UNION ALL SELECT 1 FROM imports JOIN import_rows USING (import_id) WHERE expires_at <= $1"
            .to_owned(),
        (None, _) => format!(
            "SELECT 1 FROM device_events AS old JOIN devices ON devices.device_id = old.device_id \
             WHERE old.at <= $1 AND old.sequence < {FIRST_REQUIRED} AND EXISTS ( \
                 SELECT 1 FROM device_events AS later \
                 WHERE later.device_id = old.device_id AND later.sequence > old.sequence AND later.at <= $1)"
        ),
    };
    format!("SELECT count(*) AS count FROM (SELECT 1 FROM ({expired}) AS rows_over LIMIT $2) AS counted")
}

/// The sequence of a device's first event that must stay, whatever its age: the rule of [`pos_domain::device::first_needed_event`],
/// or the event of its first past code, which refers to its event.
pub(crate) const FIRST_REQUIRED: &str = "(
    SELECT min(first) FROM (
        SELECT CASE WHEN devices.status IN ('claimed', 'activated') THEN coalesce((
                SELECT max(sequence) FROM device_events
                WHERE device_events.device_id = devices.device_id AND kind = 'claimed'
            ), 1) ELSE devices.version END AS first
        UNION ALL
        SELECT min(sequence) FROM past_pairing_codes WHERE past_pairing_codes.device_id = devices.device_id
    ) AS firsts)";

/// The result of a count.
#[derive(QueryableByName)]
pub(crate) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(crate) count: i64,
}

/// A row of `chain_checkpoints`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct ChainCheckpointRow {
    device_id: String,
    through: i64,
    hash: Option<Vec<u8>>,
}

impl ChainCheckpointRow {
    pub(crate) fn checkpoint(self) -> Result<ChainCheckpoint, CorruptRow> {
        let reader = Reader { table: "chain_checkpoints", row: self.device_id.clone() };
        Ok(ChainCheckpoint {
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            through: reader.read("through", u64::try_from(self.through).ok())?,
            hash: reader.maybe("hash", self.hash, |bytes| digest(&bytes))?,
        })
    }
}

/// The result of a batch of a kind that needs no position to continue from.
pub(crate) fn purged_batch(removed: u64, at_most: u32) -> Purged {
    Purged::Done(PurgedBatch { removed, more: removed > 0 && removed >= at_most.into(), through: None })
}
