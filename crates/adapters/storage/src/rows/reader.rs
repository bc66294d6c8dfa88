//! Reader of the columns of one row, and the engines' native column types.

use std::fmt::Display;

use pos_domain::shared::{EventHash, MerchantId, Name};
use pos_port_storage::shared::StorageError;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::engine_error::EngineError;

/// A row that this program cannot have written: the database was changed manually, or has another schema. The message names
/// the row, never a pairing code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, row {row}: {fault}")]
pub struct CorruptRow {
    /// The table.
    pub table: &'static str,
    /// The row, by its primary key.
    pub row: String,
    /// The invalid value.
    pub fault: String,
}

impl From<CorruptRow> for StorageError {
    fn from(corrupt: CorruptRow) -> Self {
        Self::Fault(corrupt.into())
    }
}

impl From<CorruptRow> for EngineError {
    fn from(corrupt: CorruptRow) -> Self {
        Self::Storage(corrupt.into())
    }
}

/// An engine's native type of instants.
pub(crate) trait NativeInstant: Copy {
    fn of(instant: OffsetDateTime) -> Self;

    fn instant(self) -> Option<OffsetDateTime>;
}

impl NativeInstant for OffsetDateTime {
    fn of(instant: OffsetDateTime) -> Self {
        instant
    }

    fn instant(self) -> Option<OffsetDateTime> {
        Some(self)
    }
}

/// Microseconds since the epoch.
impl NativeInstant for i64 {
    fn of(instant: OffsetDateTime) -> Self {
        Self::try_from(instant.unix_timestamp_nanos() / 1_000).unwrap_or(Self::MAX)
    }

    fn instant(self) -> Option<OffsetDateTime> {
        let (seconds, micros) = (self.div_euclid(1_000_000), self.rem_euclid(1_000_000));
        OffsetDateTime::from_unix_timestamp(seconds).ok()?.replace_microsecond(u32::try_from(micros).ok()?).ok()
    }
}

/// An engine's native type of ids.
pub(crate) trait NativeMerchant {
    fn of(id: Uuid) -> Self;

    fn merchant(&self) -> Option<MerchantId>;
}

impl NativeMerchant for Uuid {
    fn of(id: Uuid) -> Self {
        id
    }

    fn merchant(&self) -> Option<MerchantId> {
        Some(MerchantId(*self))
    }
}

impl NativeMerchant for String {
    fn of(id: Uuid) -> Self {
        id.to_string()
    }

    fn merchant(&self) -> Option<MerchantId> {
        Uuid::try_parse(self).ok().map(MerchantId)
    }
}

pub(crate) fn uuid(native: &impl NativeMerchant) -> Option<Uuid> {
    native.merchant().map(|merchant| merchant.0)
}

/// The id for error messages.
pub(crate) fn id_text(native: &impl NativeMerchant) -> String {
    uuid(native).map_or_else(|| "?".to_owned(), |id| id.to_string())
}

/// Parses a hash column.
pub(crate) fn digest(bytes: &[u8]) -> Option<EventHash> {
    bytes.try_into().ok().map(EventHash)
}

/// Parses the columns of one row, and names a column that cannot be parsed.
pub(crate) struct Reader<R = String> {
    pub(crate) table: &'static str,
    pub(crate) row: R,
}

impl<R: Display> Reader<R> {
    pub(crate) fn corrupt(&self, fault: impl Display) -> CorruptRow {
        CorruptRow { table: self.table, row: self.row.to_string(), fault: fault.to_string() }
    }

    pub(crate) fn read<T>(&self, column: &'static str, value: Option<T>) -> Result<T, CorruptRow> {
        value.ok_or_else(|| self.corrupt(format_args!("{column} cannot be read")))
    }

    pub(crate) fn instant<T: NativeInstant>(
        &self,
        column: &'static str,
        value: T,
    ) -> Result<OffsetDateTime, CorruptRow> {
        self.read(column, value.instant())
    }

    pub(crate) fn maybe<T, U>(
        &self,
        column: &'static str,
        value: Option<T>,
        read: impl FnOnce(T) -> Option<U>,
    ) -> Result<Option<U>, CorruptRow> {
        value.map(|value| self.read(column, read(value))).transpose()
    }

    pub(crate) fn name(&self, column: &'static str, text: &str) -> Result<Name, CorruptRow> {
        self.read(column, Name::parse(text).ok())
    }
}

/// Converts a version or a sequence to a column value.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
