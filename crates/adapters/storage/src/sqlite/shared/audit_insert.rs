//! Insert of an administrative audit event, for the transaction of the change that it describes.

use crate::sqlite::schema::audit_events;
use diesel::SqliteConnection;
use diesel::prelude::*;
use pos_domain::audit::AuditEvent;

use crate::engine_error::EngineError;
use crate::rows::audit::{client_ip_text, detail_text, digest_bytes, subject_text, trace_text};
use crate::sqlite::instants::micros;

/// Stores an audit event in the transaction of the change that it describes.
pub(crate) fn insert_audit_event(connection: &mut SqliteConnection, event: &AuditEvent) -> Result<(), EngineError> {
    use audit_events::dsl;
    diesel::insert_into(dsl::audit_events)
        .values((
            dsl::at.eq(micros(event.at)),
            dsl::actor.eq(event.audit_context.actor.to_string()),
            dsl::client_ip.eq(client_ip_text(&event.audit_context)),
            dsl::trace_id.eq(trace_text(&event.audit_context)),
            dsl::merchant_id.eq(event.merchant_id.map(|merchant| merchant.to_string())),
            dsl::kind.eq(event.kind.as_str()),
            dsl::subject.eq(subject_text(event)),
            dsl::detail.eq(detail_text(event)),
            dsl::hash.eq(digest_bytes(event)),
        ))
        .execute(connection)?;
    Ok(())
}
