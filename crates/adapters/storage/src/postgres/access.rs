//! Check of database access: the database accepts writes and the role has the required privileges.

use diesel::QueryableByName;
use diesel::sql_types::{Bool, Nullable, Text};

/// The query for [`Access`]. It ignores tables that do not exist yet: migrations report those.
pub(crate) const ACCESS: &str = "SELECT current_setting('transaction_read_only') = 'on' AS read_only,
    (SELECT string_agg(privilege || ' on ' || name, ', ' ORDER BY name, privilege)
        FROM (VALUES ('devices', 'SELECT'), ('devices', 'INSERT'), ('devices', 'UPDATE'),
            ('device_events', 'SELECT'), ('device_events', 'INSERT'),
            ('past_pairing_codes', 'SELECT'), ('past_pairing_codes', 'INSERT'),
            ('claim_failures', 'SELECT'), ('claim_failures', 'INSERT'), ('claim_failures', 'UPDATE'),
            ('audit_events', 'INSERT'), ('sessions', 'SELECT'), ('sessions', 'INSERT')) AS needed (name, privilege)
        WHERE NOT has_any_column_privilege(to_regclass(name), privilege)) AS missing";

/// Whether the database rejects writes, and the privileges that the role lacks.
#[derive(QueryableByName)]
pub(crate) struct Access {
    #[diesel(sql_type = Bool)]
    read_only: bool,
    #[diesel(sql_type = Nullable<Text>)]
    missing: Option<String>,
}

/// Why the database cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAccess {
    #[error(
        "the database is read-only: it is a standby (name the primary, or all hosts with \
         target_session_attrs=read-write), or default_transaction_read_only is on"
    )]
    ReadOnly,
    #[error("the role lacks {0}: GRANT it, as docs/operating.md says")]
    Privileges(String),
}

impl Access {
    pub(crate) fn check(self) -> Result<(), NoAccess> {
        match self.missing {
            _ if self.read_only => Err(NoAccess::ReadOnly),
            Some(missing) => Err(NoAccess::Privileges(missing)),
            None => Ok(()),
        }
    }
}
