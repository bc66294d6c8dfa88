//! Audit events of sessions. They never contain the session key.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::AuditContext;
use pos_domain::tenancy::Session;
use time::OffsetDateTime;

/// Builds the audit event of a session: its user, party, role, application and channel.
pub(super) fn of_session(kind: AuditKind, session: &Session, by: AuditContext, at: OffsetDateTime) -> AuditEvent {
    let (member, app) = (&session.member, &session.client_app);
    let audit = AuditEvent::of(kind, Subject::User(member.user_id.clone()), by, at)
        .for_merchant(member.party.merchant())
        .with("party", Subject::from(member.party))
        .with("role", member.role)
        .with("application", &app.application)
        .with("channel", &app.channel);
    match &session.client {
        Some(client) => audit.with("client_id", client),
        None => audit,
    }
}
