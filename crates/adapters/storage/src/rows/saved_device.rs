//! Columns of `devices` that a saved transition writes, shared by both engines.

use pos_domain::device::{PairingCode, Transition};

use crate::rows::audit::chain_columns;
use crate::rows::reader::{NativeInstant, NativeMerchant, signed};

/// Passes the columns to a macro: the name, the SQL type and the Rust type of each. `SqlId`, `SqlInstant`, `Id` and
/// `Instant` are the engine's types of ids and instants, where the macro is called.
macro_rules! saved_device_columns {
    ($callback:ident) => {
        $callback! {
            version: BigInt = i64,
            merchant_id: SqlId = Id,
            status: Text = &'static str,
            pairing_code: Nullable<Text> = Option<String>,
            code_issued_at: Nullable<SqlInstant> = Option<Instant>,
            code_expires_at: Nullable<SqlInstant> = Option<Instant>,
            claimed_by: Nullable<Text> = Option<String>,
            claimed_at: Nullable<SqlInstant> = Option<Instant>,
            activated_at: Nullable<SqlInstant> = Option<Instant>,
            decommissioned_at: Nullable<SqlInstant> = Option<Instant>,
            label: Nullable<Text> = Option<String>,
            location_id: Nullable<SqlId> = Option<Id>,
            chain_start: Nullable<BigInt> = Option<i64>,
            chain_tip: Nullable<Binary> = Option<Vec<u8>>,
        }
    };
}

pub(crate) use saved_device_columns;

macro_rules! saved_device {
    ($($column:ident: $sql:ty = $native:ty,)+) => {
        /// The values of the columns after a transition.
        pub(crate) struct SavedDevice<Id, Instant> {
            $(pub(crate) $column: $native,)+
        }
    };
}

saved_device_columns!(saved_device);

impl<Id: NativeMerchant, Instant: NativeInstant> From<&Transition> for SavedDevice<Id, Instant> {
    fn from(transition: &Transition) -> Self {
        let record = transition.device().record();
        let (chain_start, chain_tip) = chain_columns(transition);
        Self {
            version: signed(record.version),
            merchant_id: Id::of(record.merchant_id.0),
            status: record.status.as_str(),
            pairing_code: record.pairing_code.as_ref().map(PairingCode::as_str).map(str::to_owned),
            code_issued_at: record.code_issued_at.map(Instant::of),
            code_expires_at: record.code_expires_at.map(Instant::of),
            claimed_by: record.claimed_by.map(|user| user.as_str().to_owned()),
            claimed_at: record.claimed_at.map(Instant::of),
            activated_at: record.activated_at.map(Instant::of),
            decommissioned_at: record.decommissioned_at.map(Instant::of),
            label: record.details.label.map(|label| label.as_str().to_owned()),
            location_id: record.details.location_id.map(|location| Id::of(location.0)),
            chain_start,
            chain_tip,
        }
    }
}
