//! Rows of direct and pooled connections, as diesel reads them.

use std::num::NonZeroU32;
use std::ops::Range;

use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use tokio_postgres::types::{FromSql, Type};

type PreparedRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A row of either kind of connection.
pub(crate) enum PgRow {
    Prepared(PreparedRow),
    Unprepared(tokio_postgres::Row),
}

impl RowSealed for PgRow {}

impl<'a> Row<'a, Pg> for PgRow {
    type InnerPartialRow = Self;
    type Field<'b>
        = PgField<'b>
    where
        Self: 'b,
        'a: 'b;

    fn field_count(&self) -> usize {
        match self {
            Self::Prepared(row) => row.field_count(),
            Self::Unprepared(row) => row.len(),
        }
    }

    fn get<'b, I>(&'b self, index: I) -> Option<PgField<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        match self {
            Self::Prepared(row) => row.get(index).map(PgField::Prepared),
            Self::Unprepared(row) => {
                let column = row.columns().get(index)?;
                let RawValue(value) = row.try_get(index).ok()?;
                let oid = NonZeroU32::new(column.type_().oid())?;
                Some(PgField::Unprepared { name: column.name(), oid, value })
            }
        }
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        match self {
            Self::Prepared(row) => row.idx(index),
            Self::Unprepared(row) => (index < row.len()).then_some(index),
        }
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        match self {
            Self::Prepared(row) => row.idx(name),
            Self::Unprepared(row) => row.columns().iter().position(|column| column.name() == name),
        }
    }
}

/// One value of a row.
pub(crate) enum PgField<'a> {
    Prepared(<PreparedRow as Row<'a, Pg>>::Field<'a>),
    Unprepared { name: &'a str, oid: NonZeroU32, value: Option<&'a [u8]> },
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        match self {
            Self::Prepared(field) => field.field_name(),
            Self::Unprepared { name, .. } => Some(name),
        }
    }

    fn value(&self) -> Option<PgValue<'_>> {
        match self {
            Self::Prepared(field) => field.value(),
            Self::Unprepared { oid, value, .. } => value.map(|bytes| PgValue::new(bytes, oid)),
        }
    }
}

/// The undecoded bytes of a value.
struct RawValue<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for RawValue<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(bytes)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
