//! Rows of grants and columns of parties in SQLite.

use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::shared::Party;

use crate::engine_error::EngineError;
use crate::rows::tenancy::{self, party_columns};
use crate::sqlite::schema::{merchants, resellers};

pub(crate) type MembershipRow = tenancy::MembershipRow<String, i64>;
pub(crate) type ClientRow = tenancy::ClientRow<String, i64>;

pub(crate) fn party_texts(party: Party) -> (Option<String>, Option<String>) {
    let (merchant, reseller) = party_columns(party);
    (merchant.map(|id| id.to_string()), reseller.map(|id| id.to_string()))
}

pub(crate) fn party_exists(connection: &mut SqliteConnection, party: Party) -> Result<bool, EngineError> {
    let count: i64 = match party {
        Party::Merchant(id) => merchants::table.find(id.to_string()).count().get_result(connection)?,
        Party::Reseller(id) => resellers::table.find(id.to_string()).count().get_result(connection)?,
    };
    Ok(count == 1)
}
