//! Tests of the audit events of administrative requests.

use std::collections::BTreeMap;

use pos_application::tenancy::{ManageClientsError, ManageMembersError};
use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{Actor, ApiClientId, AuditContext, Party, Role};
use pos_domain::tenancy::Member;
use pos_port_storage::shared::TimeRange;
use pos_port_storage::tenancy::GrantError;

use crate::sessions::{TenancyFixture, ann};
use crate::{MERCHANT, START, from, user};

async fn audit_events(tenancy: &TenancyFixture) -> Vec<AuditEvent> {
    let all = TimeRange { limit: 1_000, ..TimeRange::default() };
    let stored = tenancy.storage.trail.audit_by_time(&all, None).await.unwrap();
    stored.into_iter().map(|stored| stored.event).collect()
}

fn boss() -> AuditContext {
    from(7).with_actor(Actor::User(user(MERCHANT, "boss").user_id))
}

fn event(kind: AuditKind, subject: Subject, details: &[(&str, &str)]) -> AuditEvent {
    let party = ("party".to_owned(), format!("merchant:{MERCHANT}"));
    let detail: BTreeMap<_, _> =
        details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([party]).collect();
    AuditEvent { detail, ..AuditEvent::of(kind, subject, boss(), START).for_merchant(MERCHANT) }
}

#[tokio::test]
async fn a_membership_is_audited_with_the_previous_role() {
    let tenancy = TenancyFixture::new().await;
    let before = audit_events(&tenancy).await.len();
    let bob = user(MERCHANT, "bob").user_id;
    let as_a = |role| Member { user_id: bob.clone(), party: Party::Merchant(MERCHANT), role };
    for role in [Role::Viewer, Role::Viewer, Role::Operator] {
        tenancy.members.add(as_a(role), boss()).await.unwrap();
    }
    tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await.unwrap();
    let again = tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await;
    assert!(matches!(again, Err(ManageMembersError::UnknownMember)), "{again:?}");
    let unknown = Member { party: Party::Merchant(crate::OTHER_MERCHANT), ..as_a(Role::Viewer) };
    let refused = tenancy.members.add(unknown, boss()).await;
    assert!(matches!(refused, Err(ManageMembersError::NotGiven(GrantError::UnknownParty))), "{refused:?}");
    let audit = |kind, details: &[_]| event(kind, Subject::User(bob.clone()), details);
    let expected = [
        audit(AuditKind::MemberAdded, &[("role", "viewer")]),
        audit(AuditKind::MemberAdded, &[("role", "operator"), ("role_before", "viewer")]),
        audit(AuditKind::MemberRemoved, &[]),
    ];
    assert_eq!(audit_events(&tenancy).await[before..], expected);
}

#[tokio::test]
async fn a_client_is_audited_with_its_id_and_never_its_secret() {
    let tenancy = TenancyFixture::new().await;
    let before = audit_events(&tenancy).await.len();
    let till = ApiClientId::parse("till").unwrap();
    let party = Party::Merchant(MERCHANT);
    tenancy.clients.add(Some(till.clone()), party, Role::Operator, boss(), |_| Ok(())).await.unwrap();
    let again = tenancy.clients.add(Some(till.clone()), party, Role::Admin, boss(), |_| Ok(())).await;
    assert!(matches!(again, Err(ManageClientsError::NotGiven(GrantError::Taken))), "{again:?}");
    tenancy.clients.rotate(&till, boss(), |_| Ok(())).await.unwrap();
    tenancy.clients.revoke(&till, boss()).await.unwrap();
    for refused in [
        tenancy.clients.rotate(&till, boss(), |_| Ok(())).await.err(),
        tenancy.clients.revoke(&till, boss()).await.err(),
    ] {
        assert!(matches!(refused, Some(ManageClientsError::UnknownClient)), "{refused:?}");
    }
    let audit = |kind, details: &[_]| event(kind, Subject::Client(till.clone()), details);
    let expected = [
        audit(AuditKind::ClientAdded, &[("role", "operator")]),
        audit(AuditKind::ClientRotated, &[]),
        audit(AuditKind::ClientRevoked, &[]),
    ];
    assert_eq!(audit_events(&tenancy).await[before..], expected);
}

#[tokio::test]
async fn an_expired_session_is_not_ended_again() {
    let tenancy = TenancyFixture::new().await;
    let close = tenancy.close();
    assert!(!close.end(&ann(), from(1)).await.unwrap());
    tenancy.initiate.execute(&ann(), "portal.example", from(1)).await.unwrap();
    let before = audit_events(&tenancy).await;
    tenancy.clock.advance(crate::sessions::LIFETIME);
    assert!(!close.end(&ann(), from(1)).await.unwrap());
    assert_eq!(audit_events(&tenancy).await, before);
    tenancy.initiate.execute(&ann(), "portal.example", from(1)).await.unwrap();
    assert!(close.end(&ann(), from(2)).await.unwrap());
    let kinds: Vec<_> = audit_events(&tenancy).await[before.len()..]
        .iter()
        .map(|event| (event.kind, event.audit_context.clone()))
        .collect();
    let by = |number| from(number).with_actor(Actor::User(ann().user_id));
    assert_eq!(kinds, [(AuditKind::SessionStarted, by(1)), (AuditKind::SessionEnded, by(2))]);
}
