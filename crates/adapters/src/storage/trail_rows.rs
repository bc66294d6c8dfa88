//! Rows of checkpoints, seals and holdings as both engines store them.

use diesel::Queryable;
use diesel::deserialize::QueryableByName;
use diesel::sql_types::{Nullable, Text};
use pos_domain::{
    ApiClientId, Checkpoint, Holding, LocationId, MerchantId, Party, ResellerId, Role, Seal, Subject, UserId,
};
use pos_port_storage::SealedEvent;
use uuid::Uuid;

use super::audit_rows::AuditRow;
use super::rows::{CorruptRow, NativeInstant, NativeMerchant, Reader, digest};

/// A row of `audit_checkpoints`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct CheckpointRow<T> {
    sequence: i64,
    through: i64,
    events: i64,
    at: T,
    hash: Vec<u8>,
}

impl<T: NativeInstant> CheckpointRow<T> {
    pub(super) fn checkpoint(self) -> Result<Checkpoint, CorruptRow> {
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

/// A row of `audit_seals`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct SealRow<T> {
    number: i64,
    #[expect(dead_code, reason = "it is what the rows were asked for by")]
    checkpoint: i64,
    at: T,
    hash: Vec<u8>,
}

impl<T: NativeInstant> SealRow<T> {
    pub(super) fn seal(self) -> Result<Seal, CorruptRow> {
        let reader = Reader { table: "audit_seals", row: self.number.to_string() };
        Ok(Seal {
            number: reader.read("number", u64::try_from(self.number).ok())?,
            at: reader.instant("at", self.at)?,
            hash: reader.read("hash", digest(&self.hash))?,
        })
    }
}

/// Every row that decides who owns something or who may act for whom.
pub(super) const HOLDINGS: &str = "
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

/// A row of [`HOLDINGS`].
#[derive(QueryableByName)]
pub(super) struct HoldingRow {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Nullable<Text>)]
    party: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    role: Option<String>,
}

impl HoldingRow {
    pub(super) fn holding(self) -> Result<Holding, CorruptRow> {
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
            Some(_) => return Err(reader.corrupt("its party cannot be read")),
        };
        let id = || reader.read("id", Uuid::try_parse(&self.id).ok());
        let role = || reader.read("role", self.role.as_deref().and_then(|word| word.parse::<Role>().ok()));
        let whose = || reader.read("party", party);
        Ok(match table {
            "resellers" => Holding::reseller(ResellerId(id()?)),
            "merchants" => Holding::merchant(MerchantId(id()?), party.and_then(Party::reseller)),
            "locations" => {
                Holding::location(LocationId(id()?), reader.read("merchant_id", party.and_then(Party::merchant))?)
            }
            "memberships" => {
                let user = reader.read("user_id", UserId::parse(&self.id).ok())?;
                Holding::member(user, whose()?, role()?)
            }
            _ => {
                let client = reader.read("client_id", ApiClientId::parse(&self.id).ok())?;
                Holding::client(client, whose()?, role()?, self.what == "revoked_api_clients")
            }
        })
    }
}

/// An event and the digest with which it was sealed.
pub(super) fn sealed_event<M: NativeMerchant, T: NativeInstant>(
    (row, sealed): (AuditRow<M, T>, Option<Vec<u8>>),
) -> Result<SealedEvent, CorruptRow> {
    let kept = row.kept()?;
    let reader = Reader { table: "audit_seals", row: kept.number.to_string() };
    Ok(SealedEvent { sealed: reader.maybe("hash", sealed, |bytes| digest(&bytes))?, kept })
}
