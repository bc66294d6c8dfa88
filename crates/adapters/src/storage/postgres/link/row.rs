use std::num::NonZeroU32;
use std::ops::Range;

use diesel::pg::{Pg, PgValue};
use diesel::row::{Field, PartialRow, Row, RowIndex, RowSealed};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use tokio_postgres::types::{FromSql, Type};

type PreparedRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// A row as diesel reads it.
pub(in super::super) enum LinkRow {
    Prepared(PreparedRow),
    Unnamed(tokio_postgres::Row),
}

impl RowSealed for LinkRow {}

impl<'a> Row<'a, Pg> for LinkRow {
    type InnerPartialRow = Self;
    type Field<'b>
        = LinkField<'b>
    where
        Self: 'b,
        'a: 'b;

    fn field_count(&self) -> usize {
        match self {
            Self::Prepared(row) => row.field_count(),
            Self::Unnamed(row) => row.len(),
        }
    }

    fn get<'b, I>(&'b self, index: I) -> Option<LinkField<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        match self {
            Self::Prepared(row) => row.get(index).map(LinkField::Prepared),
            Self::Unnamed(row) => {
                let column = row.columns().get(index)?;
                let Raw(value) = row.try_get(index).ok()?;
                let oid = NonZeroU32::new(column.type_().oid())?;
                Some(LinkField::Unnamed { name: column.name(), oid, value })
            }
        }
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for LinkRow {
    fn idx(&self, index: usize) -> Option<usize> {
        match self {
            Self::Prepared(row) => row.idx(index),
            Self::Unnamed(row) => (index < row.len()).then_some(index),
        }
    }
}

impl<'a> RowIndex<&'a str> for LinkRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        match self {
            Self::Prepared(row) => row.idx(name),
            Self::Unnamed(row) => row.columns().iter().position(|column| column.name() == name),
        }
    }
}

/// One value of a row.
pub(in super::super) enum LinkField<'a> {
    Prepared(<PreparedRow as Row<'a, Pg>>::Field<'a>),
    Unnamed { name: &'a str, oid: NonZeroU32, value: Option<&'a [u8]> },
}

impl<'a> Field<'a, Pg> for LinkField<'a> {
    fn field_name(&self) -> Option<&str> {
        match self {
            Self::Prepared(field) => field.field_name(),
            Self::Unnamed { name, .. } => Some(name),
        }
    }

    fn value(&self) -> Option<PgValue<'_>> {
        match self {
            Self::Prepared(field) => field.value(),
            Self::Unnamed { oid, value, .. } => value.map(|bytes| PgValue::new(bytes, oid)),
        }
    }
}

/// A value's bytes, for diesel to make sense of.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
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
