//! Instants as SQLite stores them.

use time::OffsetDateTime;

use crate::rows::reader::NativeInstant as _;

/// Microseconds since the epoch.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    i64::of(at)
}
