//! Range of the instants that statements use.

use time::OffsetDateTime;
use time::macros::datetime;

/// The earliest instant that the statements use; PostgreSQL supports no much earlier year. A window that started before it
/// has expired in any case.
pub(crate) const EARLIEST: OffsetDateTime = datetime!(-4000-01-01 00:00 UTC);
