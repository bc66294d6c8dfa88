//! Row types of audit checkpoints, their entries and audited rows, shared by both engines.

use diesel::Queryable;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Nullable, Text};
use pos_domain::audit::{AuditedRow, Checkpoint, CheckpointEntry, Subject};
use pos_domain::shared::{ApiClientId, LocationId, MerchantId, Party, ResellerId, Role, UserId};
use pos_port_storage::audit::CheckpointedEvent;
use uuid::Uuid;

use crate::rows::audit::AuditRow;
use crate::rows::reader::{CorruptRow, NativeInstant, NativeMerchant, Reader, digest};

/// A row of `audit_checkpoints`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct CheckpointRow<T> {
    sequence: i64,
    through: i64,
    events: i64,
    at: T,
    hash: Vec<u8>,
}

impl<T: NativeInstant> CheckpointRow<T> {
    pub(crate) fn checkpoint(self) -> Result<Checkpoint, CorruptRow> {
        let reader = Reader { table: "audit_checkpoints", row: self.sequence.to_string() };
        Ok(Checkpoint {
            sequence: reader.read("sequence", u64::try_from(self.sequence).ok())?,
            through: reader.read("through", u64::try_from(self.through).ok())?,
            events: reader.read("events", u64::try_from(self.events).ok())?,
            at: reader.instant("at", self.at)?,
            hash: reader.read("hash", digest(&self.hash))?,
        })
    }
}

/// A row of `audit_checkpoint_entries`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct CheckpointEntryRow<T> {
    number: i64,
    #[expect(dead_code, reason = "the rows are selected by it")]
    checkpoint: i64,
    at: T,
    hash: Vec<u8>,
}

impl<T: NativeInstant> CheckpointEntryRow<T> {
    pub(crate) fn entry(self) -> Result<CheckpointEntry, CorruptRow> {
        let reader = Reader { table: "audit_checkpoint_entries", row: self.number.to_string() };
        Ok(CheckpointEntry {
            number: reader.read("number", u64::try_from(self.number).ok())?,
            at: reader.instant("at", self.at)?,
            hash: reader.read("hash", digest(&self.hash))?,
        })
    }
}

/// Query of every row that grants ownership or access.
pub(crate) const AUDITED_ROWS: &str = "
    SELECT 'resellers' AS what, CAST(reseller_id AS text) AS id, CAST(NULL AS text) AS party, CAST(NULL AS text) AS role
    FROM resellers
    UNION ALL
    SELECT 'merchants', CAST(merchant_id AS text), 'reseller:' || CAST(reseller_id AS text), NULL FROM merchants
    UNION ALL
    SELECT 'locations', CAST(location_id AS text), 'merchant:' || CAST(merchant_id AS text), NULL FROM locations
    UNION ALL
    SELECT 'memberships', user_id,
        coalesce('merchant:' || CAST(merchant_id AS text), 'reseller:' || CAST(reseller_id AS text)), role
    FROM memberships
    UNION ALL
    SELECT CASE WHEN revoked_at IS NULL THEN 'api_clients' ELSE 'revoked_api_clients' END, client_id,
        coalesce('merchant:' || CAST(merchant_id AS text), 'reseller:' || CAST(reseller_id AS text)), role
    FROM api_clients";

/// A row of [`AUDITED_ROWS`].
#[derive(QueryableByName)]
pub(crate) struct AuditedRowRecord {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    party: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    role: Option<String>,
}

impl AuditedRowRecord {
    pub(crate) fn audited_row(self) -> Result<AuditedRow, CorruptRow> {
        let table = match self.what.as_str() {
            "resellers" => "resellers",
            "merchants" => "merchants",
            "locations" => "locations",
            "memberships" => "memberships",
            _ => "api_clients",
        };
        let reader = Reader { table, row: self.id.clone() };
        let party = match self.party.as_deref().map(str::parse::<Subject>) {
            None => None,
            Some(Ok(Subject::Merchant(id))) => Some(Party::Merchant(id)),
            Some(Ok(Subject::Reseller(id))) => Some(Party::Reseller(id)),
            Some(_) => return Err(reader.corrupt("party cannot be read")),
        };
        let id = || reader.read("id", Uuid::try_parse(&self.id).ok());
        let role = || reader.read("role", self.role.as_deref().and_then(|word| word.parse::<Role>().ok()));
        let whose = || reader.read("party", party);
        Ok(match table {
            "resellers" => AuditedRow::reseller(ResellerId(id()?)),
            "merchants" => AuditedRow::merchant(MerchantId(id()?), party.and_then(Party::reseller)),
            "locations" => {
                AuditedRow::location(LocationId(id()?), reader.read("merchant_id", party.and_then(Party::merchant))?)
            }
            "memberships" => {
                let user = reader.read("user_id", UserId::parse(&self.id).ok())?;
                AuditedRow::member(user, whose()?, role()?)
            }
            _ => {
                let client = reader.read("client_id", ApiClientId::parse(&self.id).ok())?;
                AuditedRow::client(client, whose()?, role()?, self.what == "revoked_api_clients")
            }
        })
    }
}

/// An event and the hash of its checkpoint entry, if there is one.
pub(crate) fn checkpointed_event<M: NativeMerchant, T: NativeInstant>(
    (row, entry_hash): (AuditRow<M, T>, Option<Vec<u8>>),
) -> Result<CheckpointedEvent, CorruptRow> {
    let stored = row.stored()?;
    let reader = Reader { table: "audit_checkpoint_entries", row: stored.number.to_string() };
    Ok(CheckpointedEvent { checkpoint_hash: reader.maybe("hash", entry_hash, |bytes| digest(&bytes))?, stored })
}
