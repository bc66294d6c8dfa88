//! Tests of the audit events of administrative requests.

use std::collections::BTreeMap;

use pos_application::tenancy::{ManageClientsError, ManageMembersError};
use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, START, claimant, request_from};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{Actor, ApiClientId, AuditContext, Party, Role};
use pos_domain::tenancy::Member;
use pos_port_storage::tenancy::GrantError;

use crate::sessions::{ann, tenancy};

fn boss() -> AuditContext {
    request_from(7).with_actor(Actor::User(claimant(MERCHANT, "boss").user_id))
}

fn event(kind: AuditKind, subject: Subject, details: &[(&str, &str)]) -> AuditEvent {
    let party = ("party".to_owned(), format!("merchant:{MERCHANT}"));
    let detail: BTreeMap<_, _> =
        details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([party]).collect();
    AuditEvent { detail, ..AuditEvent::of(kind, subject, boss(), START).for_merchant(MERCHANT) }
}

#[tokio::test]
async fn a_membership_is_audited_with_the_previous_role() {
    let app = tenancy().await;
    let before = app.audit_events().await.len();
    let bob = claimant(MERCHANT, "bob").user_id;
    let as_a = |role| Member { user_id: bob.clone(), party: Party::Merchant(MERCHANT), role };
    for role in [Role::Viewer, Role::Viewer, Role::Operator] {
        app.tenancy.members.add(as_a(role), boss()).await.unwrap();
    }
    app.tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await.unwrap();
    let again = app.tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await;
    assert!(matches!(again, Err(ManageMembersError::UnknownMember)), "{again:?}");
    let unknown = Member { party: Party::Merchant(OTHER_MERCHANT), ..as_a(Role::Viewer) };
    let refused = app.tenancy.members.add(unknown, boss()).await;
    assert!(matches!(refused, Err(ManageMembersError::NotGiven(GrantError::UnknownParty))), "{refused:?}");
    let audit = |kind, details: &[_]| event(kind, Subject::User(bob.clone()), details);
    let expected = [
        audit(AuditKind::MemberAdded, &[("role", "viewer")]),
        audit(AuditKind::MemberAdded, &[("role", "operator"), ("role_before", "viewer")]),
        audit(AuditKind::MemberRemoved, &[]),
    ];
    assert_eq!(app.audit_events().await[before..], expected);
}

#[tokio::test]
async fn a_client_is_audited_with_its_id_and_never_its_secret() {
    let app = tenancy().await;
    let before = app.audit_events().await.len();
    let till = ApiClientId::parse("till").unwrap();
    let party = Party::Merchant(MERCHANT);
    app.tenancy.clients.add(Some(till.clone()), party, Role::Operator, boss(), |_| Ok(())).await.unwrap();
    let again = app.tenancy.clients.add(Some(till.clone()), party, Role::Admin, boss(), |_| Ok(())).await;
    assert!(matches!(again, Err(ManageClientsError::NotGiven(GrantError::Taken))), "{again:?}");
    app.tenancy.clients.rotate(&till, boss(), |_| Ok(())).await.unwrap();
    app.tenancy.clients.revoke(&till, boss()).await.unwrap();
    for refused in [
        app.tenancy.clients.rotate(&till, boss(), |_| Ok(())).await.err(),
        app.tenancy.clients.revoke(&till, boss()).await.err(),
    ] {
        assert!(matches!(refused, Some(ManageClientsError::UnknownClient)), "{refused:?}");
    }
    let audit = |kind, details: &[_]| event(kind, Subject::Client(till.clone()), details);
    let expected = [
        audit(AuditKind::ClientAdded, &[("role", "operator")]),
        audit(AuditKind::ClientRotated, &[]),
        audit(AuditKind::ClientRevoked, &[]),
    ];
    assert_eq!(app.audit_events().await[before..], expected);
}

#[tokio::test]
async fn an_expired_session_is_not_ended_again() {
    let app = tenancy().await;
    let close = &app.sessions.close;
    assert!(!close.end(&ann(), request_from(1)).await.unwrap());
    app.sessions.initiate.execute(&ann(), "portal.example", request_from(1)).await.unwrap();
    let before = app.audit_events().await;
    app.clock.advance(crate::sessions::LIFETIME);
    assert!(!close.end(&ann(), request_from(1)).await.unwrap());
    assert_eq!(app.audit_events().await, before);
    app.sessions.initiate.execute(&ann(), "portal.example", request_from(1)).await.unwrap();
    assert!(close.end(&ann(), request_from(2)).await.unwrap());
    let kinds: Vec<_> = app.audit_events().await[before.len()..]
        .iter()
        .map(|event| (event.kind, event.audit_context.clone()))
        .collect();
    let by = |number| request_from(number).with_actor(Actor::User(ann().user_id));
    assert_eq!(kinds, [(AuditKind::SessionStarted, by(1)), (AuditKind::SessionEnded, by(2))]);
}
