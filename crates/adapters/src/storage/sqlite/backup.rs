use std::error::Error;
use std::path::Path;
use std::time::Duration;

use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;

use super::connection::connect;

/// Writes what the database holds at this moment to a new file. Readers and writers go on meanwhile.
pub(in crate::storage) fn vacuum_into(
    from: &Path,
    to: &Path,
    patience: Duration,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let to = to.to_str().ok_or("the path is not UTF-8")?;
    let mut connection = connect(from, patience)?;
    diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(to).execute(&mut connection)?;
    Ok(())
}
