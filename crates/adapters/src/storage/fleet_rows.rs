//! Rows of locations and of kept answers as both engines keep them, and the way back into the domain.

use diesel::Queryable;
use pos_domain::{Fingerprint, Location, LocationId, Party};
use pos_port_storage::KeptAnswer;
use uuid::Uuid;

use super::rows::{CorruptRow, NativeInstant, NativeMerchant, Reader};
use super::tenancy_rows::{shown, uuid};

/// A row of `locations`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct LocationRow<M, T> {
    location_id: M,
    merchant_id: M,
    name: String,
    created_at: T,
}

impl<M: NativeMerchant, T: NativeInstant> LocationRow<M, T> {
    pub(super) fn location(self) -> Result<Location, CorruptRow> {
        let reader = Reader { table: "locations", row: shown(&self.location_id) };
        Ok(Location {
            id: LocationId(reader.read("location_id", uuid(&self.location_id))?),
            merchant_id: reader.read("merchant_id", self.merchant_id.merchant())?,
            name: reader.name("name", &self.name)?,
            created_at: reader.instant("created_at", self.created_at)?,
        })
    }
}

/// What is read of a row of `creation_answers`: its fingerprint and its answer.
pub(super) type AnswerRow = (Vec<u8>, String);

/// The answer that is kept under a party's key.
pub(super) fn kept_answer(party: Party, (fingerprint, answer): AnswerRow) -> Result<KeptAnswer, CorruptRow> {
    let reader = Reader { table: "creation_answers", row: format!("of {party}") };
    let fingerprint = reader.read("fingerprint", fingerprint.try_into().ok().map(Fingerprint))?;
    Ok(KeptAnswer { fingerprint, answer })
}

/// Whose key it is, as both engines keep it.
pub(super) fn party_key(party: Party) -> (&'static str, Uuid) {
    match party {
        Party::Merchant(id) => (party.kind(), id.0),
        Party::Reseller(id) => (party.kind(), id.0),
    }
}
