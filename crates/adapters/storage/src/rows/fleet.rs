//! Row types of locations and idempotency keys, shared by both engines, and their conversion to domain types.

use diesel::Queryable;
use pos_domain::shared::{Fingerprint, LocationId, Party};
use pos_domain::tenancy::Location;
use pos_port_storage::shared::StoredResponse;
use uuid::Uuid;

use crate::rows::reader::{CorruptRow, NativeInstant, NativeMerchant, Reader};
use crate::rows::reader::{id_text, uuid};

/// A row of `locations`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct LocationRow<M, T> {
    location_id: M,
    merchant_id: M,
    name: String,
    created_at: T,
}

impl<M: NativeMerchant, T: NativeInstant> LocationRow<M, T> {
    pub(crate) fn location(self) -> Result<Location, CorruptRow> {
        let reader = Reader { table: "locations", row: id_text(&self.location_id) };
        Ok(Location {
            id: LocationId(reader.read("location_id", uuid(&self.location_id))?),
            merchant_id: reader.read("merchant_id", self.merchant_id.merchant())?,
            name: reader.name("name", &self.name)?,
            created_at: reader.instant("created_at", self.created_at)?,
        })
    }
}

/// The columns that are read of `idempotency_keys`: fingerprint and response.
pub(crate) type ResponseRow = (Vec<u8>, String);

/// Converts the stored response of a party's key.
pub(crate) fn stored_response(party: Party, (fingerprint, answer): ResponseRow) -> Result<StoredResponse, CorruptRow> {
    let reader = Reader { table: "idempotency_keys", row: format!("of {party}") };
    let fingerprint = reader.read("fingerprint", fingerprint.try_into().ok().map(Fingerprint))?;
    Ok(StoredResponse { fingerprint, answer })
}

/// The party columns of `idempotency_keys`.
pub(crate) fn party_key(party: Party) -> (&'static str, Uuid) {
    match party {
        Party::Merchant(id) => (party.kind(), id.0),
        Party::Reseller(id) => (party.kind(), id.0),
    }
}
