//! Online backup with `VACUUM INTO`.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;

use crate::sqlite::connection::connect;

/// Writes a snapshot of the database to a new file. Readers and writers are not blocked.
pub(crate) fn vacuum_into(from: &Path, to: &Path, busy_timeout: Duration) -> Result<(), Box<dyn Error + Send + Sync>> {
    let to = to.to_str().ok_or("the path is not UTF-8")?;
    let mut connection = connect(from, busy_timeout)?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(to).execute(&mut connection)?;
    Ok(())
}
