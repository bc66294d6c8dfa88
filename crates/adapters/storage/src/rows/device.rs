//! Row types of devices and their past pairing codes, shared by both engines, and their conversion to domain types.

use std::collections::HashSet;
use std::fmt::Display;

use diesel::Queryable;
use pos_domain::device::{
    ChainTip, CodeEnd, Device, DeviceDetails, DeviceRecord, DeviceStatus, PairingCode, PastCode, TerminalInfo,
    Transition, UserAgent,
};
use pos_domain::shared::{DeviceId, LocationId, UserId};
use pos_port_storage::shared::StorageError;

use crate::rows::reader::{CorruptRow, NativeInstant, NativeMerchant, Reader, digest, uuid};

/// Defines the row of `devices` and the list of its columns, in the order of the schema.
macro_rules! device_row {
    ($first:ident: $key:ty, $($column:ident: $native:ty,)+) => {
        /// A row of `devices`, in the order of its columns.
        #[derive(Queryable)]
        pub(crate) struct DeviceRow<M, T, S = String, B = Vec<u8>> {
            pub(crate) $first: $key,
            $(pub(crate) $column: $native,)+
        }

        /// The columns of [`DeviceRow`], for statements that diesel does not build.
        pub(crate) const DEVICE_COLUMNS: &str = concat!(stringify!($first) $(, ", ", stringify!($column))+);
    };
}

device_row! {
    device_id: S,
    merchant_id: M,
    version: i64,
    provisioned_at: T,
    status: S,
    pairing_code: Option<S>,
    code_issued_at: Option<T>,
    code_expires_at: Option<T>,
    claimed_by: Option<S>,
    claimed_at: Option<T>,
    activated_at: Option<T>,
    app_version: Option<S>,
    os: Option<S>,
    model: Option<S>,
    seen_at: Option<T>,
    chain_start: Option<i64>,
    chain_tip: Option<B>,
    decommissioned_at: Option<T>,
    label: Option<S>,
    location_id: Option<M>,
}

impl<M, T, S, B> DeviceRow<M, T, S, B>
where
    M: NativeMerchant,
    T: NativeInstant,
    S: AsRef<str> + Display,
    B: AsRef<[u8]>,
{
    pub(crate) fn device(self) -> Result<Device, CorruptRow> {
        let reader = Reader { table: "devices", row: self.device_id };
        let instant = |column, value: Option<T>| reader.maybe(column, value, T::instant);
        let text = |text: S| text.as_ref().into();
        let last_seen = match (self.app_version, instant("seen_at", self.seen_at)?) {
            (Some(version), Some(at)) => {
                let app_version = reader.read("app_version", version.as_ref().parse().ok())?;
                Some(TerminalInfo {
                    agent: UserAgent { app_version, os: self.os.map(text), model: self.model.map(text) },
                    at,
                })
            }
            (None, None) => None,
            _ => return Err(reader.corrupt("app_version and seen_at must be set together")),
        };
        let chain_tip = reader.maybe("chain_tip", self.chain_tip, |bytes| digest(bytes.as_ref()))?;
        let chain = match (reader.maybe("chain_start", self.chain_start, |start| u64::try_from(start).ok())?, chain_tip)
        {
            (Some(start), Some(hash)) => Some(ChainTip { start, hash }),
            (None, None) => None,
            _ => return Err(reader.corrupt("chain_start and chain_tip must be set together")),
        };
        let record = DeviceRecord {
            id: reader.read("device_id", DeviceId::parse(reader.row.as_ref()).ok())?,
            merchant_id: reader.read("merchant_id", self.merchant_id.merchant())?,
            version: reader.read("version", u64::try_from(self.version).ok())?,
            provisioned_at: reader.instant("provisioned_at", self.provisioned_at)?,
            status: reader.read("status", DeviceStatus::parse(self.status.as_ref()))?,
            pairing_code: reader
                .maybe("pairing_code", self.pairing_code, |code| PairingCode::parse(code.as_ref()).ok())?,
            code_issued_at: instant("code_issued_at", self.code_issued_at)?,
            code_expires_at: instant("code_expires_at", self.code_expires_at)?,
            claimed_by: reader.maybe("claimed_by", self.claimed_by, |user| UserId::parse(user.as_ref()).ok())?,
            claimed_at: instant("claimed_at", self.claimed_at)?,
            activated_at: instant("activated_at", self.activated_at)?,
            decommissioned_at: instant("decommissioned_at", self.decommissioned_at)?,
            details: DeviceDetails {
                label: self.label.map(|label| reader.name("label", label.as_ref())).transpose()?,
                location_id: reader.maybe("location_id", self.location_id, |id| uuid(&id).map(LocationId))?,
            },
            last_seen,
            chain,
        };
        Device::restore(record).map_err(|corrupt| reader.corrupt(corrupt.fault))
    }
}

/// A row of `past_pairing_codes`, in the order of its columns.
#[derive(Queryable)]
pub(crate) struct PastCodeRow<T> {
    device_id: String,
    sequence: i64,
    pairing_code: String,
    ended_as: String,
    ended_at: T,
}

impl<T: NativeInstant> PastCodeRow<T> {
    pub(crate) fn past_code(self) -> Result<PastCode, CorruptRow> {
        let reader = Reader { table: "past_pairing_codes", row: format!("{} {}", self.device_id, self.sequence) };
        Ok(PastCode {
            code: reader.read("pairing_code", PairingCode::parse(&self.pairing_code).ok())?,
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            end: reader.read("ended_as", CodeEnd::parse(&self.ended_as))?,
            at: reader.instant("ended_at", self.ended_at)?,
        })
    }
}

/// Returns the transitions to insert, and the ids that occur more than once in the same call.
pub(crate) fn new_devices(devices: &[Transition]) -> Result<(Vec<&Transition>, Vec<DeviceId>), StorageError> {
    let mut seen = HashSet::new();
    let (mut first, mut repeated) = (Vec::with_capacity(devices.len()), Vec::new());
    for transition in devices {
        let id = transition.device().id();
        if transition.expected_version() != 0 {
            return Err(StorageError::Fault(format!("device {id} is not new and cannot be added").into()));
        }
        if seen.insert(id) {
            first.push(transition);
        } else {
            repeated.push(id.clone());
        }
    }
    Ok((first, repeated))
}
