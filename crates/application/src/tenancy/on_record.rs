//! Sessions, as they go on record. Never the key of one.

use pos_domain::{Act, AuditEvent, AuditKind, Session, Subject};
use time::OffsetDateTime;

/// Something that was done to a session: whose it is, and what it was resolved to.
pub(super) fn of_session(kind: AuditKind, session: &Session, by: Act, at: OffsetDateTime) -> AuditEvent {
    let (member, place) = (&session.member, &session.place);
    let told = AuditEvent::of(kind, Subject::User(member.user_id.clone()), by, at)
        .for_merchant(member.party.merchant())
        .with("party", Subject::from(member.party))
        .with("role", member.role)
        .with("application", &place.application)
        .with("channel", &place.channel);
    match &session.client {
        Some(client) => told.with("client_id", client),
        None => told,
    }
}
