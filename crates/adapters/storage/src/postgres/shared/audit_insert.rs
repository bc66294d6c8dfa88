//! Insert of an audit event in the statement that makes the audited change.

use crate::postgres::connection::PgConn;
use crate::postgres::schema::audit_events;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use pos_domain::audit::AuditEvent;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::postgres::statements::Input;
use crate::rows::audit::{client_ip_text, detail_text, digest_bytes, subject_text, trace_text};

/// The columns of an audit event as statement parameters, named `audit_at`, `audit_actor` and so on in the row `input`.
/// [`insert_audit`] inserts the event.
pub(crate) struct AuditColumns {
    at: OffsetDateTime,
    actor: String,
    client_ip: Option<String>,
    trace_id: Option<String>,
    merchant_id: Option<Uuid>,
    kind: &'static str,
    subject: Option<String>,
    detail: String,
    hash: Vec<u8>,
}

impl From<&AuditEvent> for AuditColumns {
    fn from(event: &AuditEvent) -> Self {
        Self {
            at: event.at,
            actor: event.audit_context.actor.to_string(),
            client_ip: client_ip_text(&event.audit_context),
            trace_id: trace_text(&event.audit_context),
            merchant_id: event.merchant_id.map(|merchant| merchant.0),
            kind: event.kind.as_str(),
            subject: subject_text(event),
            detail: detail_text(event),
            hash: digest_bytes(event),
        }
    }
}

impl AuditColumns {
    pub(crate) fn bind<'b>(&'b self, input: &mut Input<'_, 'b>) -> QueryResult<()> {
        input.bind::<Timestamptz, _>("audit_at", &self.at)?;
        input.bind::<Text, _>("audit_actor", &self.actor)?;
        input.bind::<Nullable<Text>, _>("audit_origin", &self.client_ip)?;
        input.bind::<Nullable<Text>, _>("audit_trace_id", &self.trace_id)?;
        input.bind::<Nullable<SqlUuid>, _>("audit_merchant_id", &self.merchant_id)?;
        input.bind::<Text, _>("audit_kind", &self.kind)?;
        input.bind::<Nullable<Text>, _>("audit_subject", &self.subject)?;
        input.bind::<Text, _>("audit_detail", &self.detail)?;
        input.bind::<Binary, _>("audit_hash", &self.hash)
    }
}

/// The text of a CTE that inserts the event of [`AuditColumns::bind`] if the named CTE has a row.
macro_rules! insert_audit {
    ($changed:literal) => {
        concat!(
            "audited AS (
                INSERT INTO audit_events (at, actor, client_ip, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT audit_at, audit_actor, audit_origin, audit_trace_id, audit_merchant_id, audit_kind, audit_subject,
                    audit_detail, audit_hash
                FROM input WHERE EXISTS (SELECT FROM ",
            $changed,
            ")
            )"
        )
    };
}

pub(crate) use insert_audit;

/// Stores an audit event in the transaction of the change that it describes.
pub(crate) async fn insert_audit_event(connection: &mut PgConn, event: &AuditEvent) -> QueryResult<()> {
    use audit_events::dsl;
    diesel::insert_into(dsl::audit_events)
        .values((
            dsl::at.eq(event.at),
            dsl::actor.eq(event.audit_context.actor.to_string()),
            dsl::client_ip.eq(client_ip_text(&event.audit_context)),
            dsl::trace_id.eq(trace_text(&event.audit_context)),
            dsl::merchant_id.eq(event.merchant_id.map(|merchant| merchant.0)),
            dsl::kind.eq(event.kind.as_str()),
            dsl::subject.eq(subject_text(event)),
            dsl::detail.eq(detail_text(event)),
            dsl::hash.eq(digest_bytes(event)),
        ))
        .execute(connection)
        .await?;
    Ok(())
}
