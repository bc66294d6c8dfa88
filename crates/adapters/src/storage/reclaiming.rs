//! What both engines share of taking back room: which column tells that a row is over, and what is left of events.
//!
//! The statements are texts rather than query nodes: they run now and then, and need not be kept prepared. `$1` and `$2`
//! are parameters for both engines.

use diesel::Queryable;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::BigInt;
use pos_domain::{AuditKind, DeviceId, EventAnchor};
use pos_port_storage::{Reclaimable, Reclaimed, ReclaimedBatch};

use super::rows::{CorruptRow, Reader, digest};

/// A table whose rows are over by themselves, one by one.
pub(super) struct Sweep {
    pub(super) table: &'static str,
    /// Its primary key.
    pub(super) key: &'static str,
    /// The instant from which on, or some time after which, a row is over. It is the first column of an index.
    pub(super) instant: &'static str,
    /// Which of these rows go.
    pub(super) only: String,
}

/// What is swept of a sort; none where rows hang together and there is more to do.
pub(super) fn sweep_of(what: Reclaimable) -> Option<Sweep> {
    let (table, key, instant) = match what {
        Reclaimable::EndedCodes => ("ended_pairing_codes", "device_id, sequence", "ended_at"),
        Reclaimable::ClaimFailures => ("claim_failures", "scope, subject", "window_started_at"),
        Reclaimable::ClientFailures => ("client_failures", "subject", "window_started_at"),
        Reclaimable::Sessions => ("sessions", "session_key", "ends_at"),
        Reclaimable::Logouts => ("logouts", "kind, subject", "keep_until"),
        Reclaimable::EndedTokens => ("ended_tokens", "session_key, token_key", "keep_until"),
        Reclaimable::Answers => ("creation_answers", "party_kind, party_id, idempotency_key", "keep_until"),
        Reclaimable::AuditEvents => ("audit_events", "number", "at"),
        Reclaimable::Imports | Reclaimable::DeviceEvents => return None,
    };
    let only = match what {
        Reclaimable::AuditEvents => {
            let kept = AuditKind::ALL.into_iter().filter(|kind| kind.is_kept_for_ever());
            let kept: Vec<_> = kept.map(|kind| format!("'{}'", kind.as_str())).collect();
            format!("kind NOT IN ({})", kept.join(", "))
        }
        _ => "true".to_owned(),
    };
    Some(Sweep { table, key, instant, only })
}

/// Counts rows that are over at `$1`, up to `$2`.
pub(super) fn count_text(what: Reclaimable) -> String {
    let over = match (sweep_of(what), what) {
        (Some(Sweep { table, instant, only, .. }), _) => {
            format!("SELECT 1 FROM {table} WHERE {instant} <= $1 AND {only}")
        }
        (None, Reclaimable::Imports) => "SELECT 1 FROM imports WHERE keep_until <= $1 \
             UNION ALL SELECT 1 FROM imports JOIN import_rows USING (import_id) WHERE keep_until <= $1"
            .to_owned(),
        (None, _) => format!(
            "SELECT 1 FROM device_events AS old JOIN devices ON devices.device_id = old.device_id \
             WHERE old.at <= $1 AND old.sequence < {FIRST_KEPT} AND EXISTS ( \
                 SELECT 1 FROM device_events AS later \
                 WHERE later.device_id = old.device_id AND later.sequence > old.sequence AND later.at <= $1)"
        ),
    };
    format!("SELECT count(*) AS count FROM (SELECT 1 FROM ({over}) AS rows_over LIMIT $2) AS counted")
}

/// The first sequence of a row of `devices` whose event must stay, whatever its age: as
/// [`pos_domain::first_needed_event`] has it, or that of its first ended code, which stands on its event.
pub(super) const FIRST_KEPT: &str = "(
    SELECT min(first) FROM (
        SELECT CASE WHEN devices.status IN ('claimed', 'activated') THEN coalesce((
                SELECT max(sequence) FROM device_events
                WHERE device_events.device_id = devices.device_id AND kind = 'claimed'
            ), 1) ELSE devices.version END AS first
        UNION ALL
        SELECT min(sequence) FROM ended_pairing_codes WHERE ended_pairing_codes.device_id = devices.device_id
    ) AS firsts)";

/// How many.
#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = BigInt)]
    pub(super) count: i64,
}

/// A row of `reclaimed_events`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct AnchorRow {
    device_id: String,
    through: i64,
    hash: Option<Vec<u8>>,
}

impl AnchorRow {
    pub(super) fn anchor(self) -> Result<EventAnchor, CorruptRow> {
        let reader = Reader { table: "reclaimed_events", row: self.device_id.clone() };
        Ok(EventAnchor {
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            through: reader.read("through", u64::try_from(self.through).ok())?,
            hash: reader.maybe("hash", self.hash, |bytes| digest(&bytes))?,
        })
    }
}

/// A batch of a sort that needs no place to go on from.
pub(super) fn swept(removed: u64, at_most: u32) -> Reclaimed {
    Reclaimed::Done(ReclaimedBatch { removed, more: removed > 0 && removed >= at_most.into(), through: None })
}
