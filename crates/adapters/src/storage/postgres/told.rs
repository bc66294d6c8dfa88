//! What goes on record in the statement that makes it so.

use diesel::QueryResult;
use diesel::sql_types::{Binary, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use pos_domain::AuditEvent;
use time::OffsetDateTime;
use uuid::Uuid;

use super::statements::Input;
use crate::storage::audit_rows::{detail_text, digest_bytes, origin_text, subject_text, trace_text};

/// An event's columns, as parameters of a statement: `told_at`, `told_actor` and so on in its row `input`. The event is
/// kept by [`tell`].
pub(super) struct Told {
    at: OffsetDateTime,
    actor: String,
    origin: Option<String>,
    trace_id: Option<String>,
    merchant_id: Option<Uuid>,
    kind: &'static str,
    subject: Option<String>,
    detail: String,
    hash: Vec<u8>,
}

impl From<&AuditEvent> for Told {
    fn from(event: &AuditEvent) -> Self {
        Self {
            at: event.at,
            actor: event.act.actor.to_string(),
            origin: origin_text(&event.act),
            trace_id: trace_text(&event.act),
            merchant_id: event.merchant_id.map(|merchant| merchant.0),
            kind: event.kind.as_str(),
            subject: subject_text(event),
            detail: detail_text(event),
            hash: digest_bytes(event),
        }
    }
}

impl Told {
    pub(super) fn bind<'b>(&'b self, input: &mut Input<'_, 'b>) -> QueryResult<()> {
        input.bind::<Timestamptz, _>("told_at", &self.at)?;
        input.bind::<Text, _>("told_actor", &self.actor)?;
        input.bind::<Nullable<Text>, _>("told_origin", &self.origin)?;
        input.bind::<Nullable<Text>, _>("told_trace_id", &self.trace_id)?;
        input.bind::<Nullable<SqlUuid>, _>("told_merchant_id", &self.merchant_id)?;
        input.bind::<Text, _>("told_kind", &self.kind)?;
        input.bind::<Nullable<Text>, _>("told_subject", &self.subject)?;
        input.bind::<Text, _>("told_detail", &self.detail)?;
        input.bind::<Binary, _>("told_hash", &self.hash)
    }
}

/// The part `told` of a statement's `WITH`, as text: puts the event of [`Told::bind`] on record if the part that is
/// named has a row.
macro_rules! tell {
    ($changed:literal) => {
        concat!(
            "told AS (
                INSERT INTO audit_events (at, actor, origin, trace_id, merchant_id, kind, subject, detail, hash)
                SELECT told_at, told_actor, told_origin, told_trace_id, told_merchant_id, told_kind, told_subject,
                    told_detail, told_hash
                FROM input WHERE EXISTS (SELECT FROM ",
            $changed,
            ")
            )"
        )
    };
}

pub(super) use tell;
