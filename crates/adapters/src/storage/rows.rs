//! Rows as both engines keep them, and the way back into the domain.

use diesel::Queryable;
use pos_domain::{
    ChainHead, ClaimStanding, Claimant, CodeEnd, Device, DeviceDetails, DeviceId, DeviceRecord, DeviceStatus,
    EndedCode, EventHash, FailureWindow, LocationId, MerchantId, Name, PairingCode, Sighting, Transition, UserAgent,
    UserId,
};
use pos_port_storage::StorageError;
use std::collections::HashSet;
use std::fmt::Display;
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::Failure;
use super::tenancy_rows::uuid;

/// A row that fits nothing the program could have written: somebody changed the database by hand, or its schema is not
/// ours. Names the row, never a code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, row {row}: {fault}")]
pub struct CorruptRow {
    /// Which table.
    pub table: &'static str,
    /// Which row, by its primary key.
    pub row: String,
    /// What does not fit.
    pub fault: String,
}

impl From<CorruptRow> for StorageError {
    fn from(corrupt: CorruptRow) -> Self {
        Self::Fault(corrupt.into())
    }
}

impl From<CorruptRow> for Failure {
    fn from(corrupt: CorruptRow) -> Self {
        Self::Storage(corrupt.into())
    }
}

/// An engine's type for instants.
pub(super) trait NativeInstant: Copy {
    fn instant(self) -> Option<OffsetDateTime>;
}

impl NativeInstant for OffsetDateTime {
    fn instant(self) -> Option<OffsetDateTime> {
        Some(self)
    }
}

/// Microseconds since the epoch.
impl NativeInstant for i64 {
    fn instant(self) -> Option<OffsetDateTime> {
        let (seconds, micros) = (self.div_euclid(1_000_000), self.rem_euclid(1_000_000));
        OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_microsecond(u32::try_from(micros).ok()?).ok()
    }
}

/// An engine's type for merchants.
pub(super) trait NativeMerchant {
    fn merchant(&self) -> Option<MerchantId>;
}

impl NativeMerchant for Uuid {
    fn merchant(&self) -> Option<MerchantId> {
        Some(MerchantId(*self))
    }
}

impl NativeMerchant for String {
    fn merchant(&self) -> Option<MerchantId> {
        Uuid::try_parse(self).ok().map(MerchantId)
    }
}

/// A digest as both engines keep it.
pub(super) fn digest(bytes: &[u8]) -> Option<EventHash> {
    bytes.try_into().ok().map(EventHash)
}

/// Reads the columns of one row, and says which one could not be read.
pub(super) struct Reader<R = String> {
    pub(super) table: &'static str,
    pub(super) row: R,
}

impl<R: Display> Reader<R> {
    pub(super) fn corrupt(&self, fault: impl Display) -> CorruptRow {
        CorruptRow { table: self.table, row: self.row.to_string(), fault: fault.to_string() }
    }

    pub(super) fn read<T>(&self, column: &'static str, value: Option<T>) -> Result<T, CorruptRow> {
        value.ok_or_else(|| self.corrupt(format_args!("{column} cannot be read")))
    }

    pub(super) fn instant<T: NativeInstant>(
        &self,
        column: &'static str,
        value: T,
    ) -> Result<OffsetDateTime, CorruptRow> {
        self.read(column, value.instant())
    }

    pub(super) fn maybe<T, U>(
        &self,
        column: &'static str,
        value: Option<T>,
        read: impl FnOnce(T) -> Option<U>,
    ) -> Result<Option<U>, CorruptRow> {
        value.map(|value| self.read(column, read(value))).transpose()
    }

    pub(super) fn name(&self, column: &'static str, text: &str) -> Result<Name, CorruptRow> {
        self.read(column, Name::parse(text).ok())
    }
}

/// A row of `devices`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct DeviceRow<M, T, S = String, B = Vec<u8>> {
    pub(super) device_id: S,
    pub(super) merchant_id: M,
    pub(super) version: i64,
    pub(super) provisioned_at: T,
    pub(super) status: S,
    pub(super) pairing_code: Option<S>,
    pub(super) code_issued_at: Option<T>,
    pub(super) code_expires_at: Option<T>,
    pub(super) claimed_by: Option<S>,
    pub(super) claimed_at: Option<T>,
    pub(super) activated_at: Option<T>,
    pub(super) app_version: Option<S>,
    pub(super) os: Option<S>,
    pub(super) model: Option<S>,
    pub(super) seen_at: Option<T>,
    pub(super) chain_start: Option<i64>,
    pub(super) chain_head: Option<B>,
    pub(super) decommissioned_at: Option<T>,
    pub(super) label: Option<S>,
    pub(super) location_id: Option<M>,
}

impl<M, T, S, B> DeviceRow<M, T, S, B>
where
    M: NativeMerchant,
    T: NativeInstant,
    S: AsRef<str> + Display,
    B: AsRef<[u8]>,
{
    pub(super) fn device(self) -> Result<Device, CorruptRow> {
        let reader = Reader { table: "devices", row: self.device_id };
        let instant = |column, value: Option<T>| reader.maybe(column, value, T::instant);
        let text = |text: S| text.as_ref().into();
        let last_seen = match (self.app_version, instant("seen_at", self.seen_at)?) {
            (Some(version), Some(at)) => {
                let app_version = reader.read("app_version", version.as_ref().parse().ok())?;
                Some(Sighting {
                    agent: UserAgent { app_version, os: self.os.map(text), model: self.model.map(text) },
                    at,
                })
            }
            (None, None) => None,
            _ => return Err(reader.corrupt("app_version and seen_at must be there together")),
        };
        let chain_head = reader.maybe("chain_head", self.chain_head, |bytes| digest(bytes.as_ref()))?;
        let chain =
            match (reader.maybe("chain_start", self.chain_start, |start| u64::try_from(start).ok())?, chain_head) {
                (Some(start), Some(hash)) => Some(ChainHead { start, hash }),
                (None, None) => None,
                _ => return Err(reader.corrupt("chain_start and chain_head must be there together")),
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

/// A row of `ended_pairing_codes`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct EndedCodeRow<T> {
    device_id: String,
    sequence: i64,
    pairing_code: String,
    ended_as: String,
    ended_at: T,
}

impl<T: NativeInstant> EndedCodeRow<T> {
    pub(super) fn ended_code(self) -> Result<EndedCode, CorruptRow> {
        let reader = Reader { table: "ended_pairing_codes", row: format!("{} {}", self.device_id, self.sequence) };
        Ok(EndedCode {
            code: reader.read("pairing_code", PairingCode::parse(&self.pairing_code).ok())?,
            device_id: reader.read("device_id", DeviceId::parse(&self.device_id).ok())?,
            end: reader.read("ended_as", CodeEnd::parse(&self.ended_as))?,
            at: reader.instant("ended_at", self.ended_at)?,
        })
    }
}

/// A row of `claim_failures`, in the order of its columns.
#[derive(Queryable)]
pub(super) struct FailureRow<T> {
    scope: String,
    subject: String,
    window_started_at: T,
    failures: i64,
}

/// Whose failures a row of `claim_failures` counts.
pub(super) const MERCHANT: &str = "merchant";
pub(super) const USER: &str = "user";

/// The subject of a merchant's row.
pub(super) fn merchant_subject(claimant: &Claimant) -> String {
    claimant.merchant_id.to_string()
}

/// How a claimant stands by its rows, at most one of each scope.
pub(super) fn standing<T: NativeInstant>(rows: Vec<FailureRow<T>>) -> Result<ClaimStanding, CorruptRow> {
    let mut standing = ClaimStanding::default();
    for row in rows {
        let reader = Reader { table: "claim_failures", row: format!("{} {}", row.scope, row.subject) };
        let window = FailureWindow {
            started_at: reader.instant("window_started_at", row.window_started_at)?,
            failures: reader.read("failures", u32::try_from(row.failures).ok())?,
        };
        match row.scope.as_str() {
            MERCHANT => standing.merchant = Some(window),
            USER => standing.user = Some(window),
            _ => return Err(reader.corrupt("scope cannot be read")),
        }
    }
    Ok(standing)
}

/// A version or a sequence as both engines keep it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The transitions that a store may add, and the ids that come a second time in the same call.
pub(super) fn new_devices(devices: &[Transition]) -> Result<(Vec<&Transition>, Vec<DeviceId>), StorageError> {
    let mut seen = HashSet::new();
    let (mut first, mut again) = (Vec::with_capacity(devices.len()), Vec::new());
    for transition in devices {
        let id = transition.device().id();
        if transition.expected_version() != 0 {
            return Err(StorageError::Fault(format!("device {id} is not new and cannot be added").into()));
        }
        if seen.insert(id) {
            first.push(transition);
        } else {
            again.push(id.clone());
        }
    }
    Ok((first, again))
}
