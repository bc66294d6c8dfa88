//! Who acted, as it goes on record; and nothing where nothing was done.

use std::collections::BTreeMap;

use pos_application::{ManageClientsError, ManageMembersError};
use pos_domain::{Act, Actor, ApiClientId, AuditEvent, AuditKind, Member, Party, Role, Subject};
use pos_port_storage::{GrantError, Span};

use crate::sessions::{Tenancy, ann};
use crate::{MERCHANT, START, from, user};

async fn on_record(tenancy: &Tenancy) -> Vec<AuditEvent> {
    let all = Span { limit: 1_000, ..Span::default() };
    let kept = tenancy.storage.events.audit_by_time(&all, None).await.unwrap();
    kept.into_iter().map(|kept| kept.event).collect()
}

fn boss() -> Act {
    from(7).by(Actor::User(user(MERCHANT, "boss").user_id))
}

fn event(kind: AuditKind, subject: Subject, details: &[(&str, &str)]) -> AuditEvent {
    let party = ("party".to_owned(), format!("merchant:{MERCHANT}"));
    let detail: BTreeMap<_, _> =
        details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([party]).collect();
    AuditEvent { detail, ..AuditEvent::of(kind, subject, boss(), START).for_merchant(MERCHANT) }
}

#[tokio::test]
async fn a_membership_is_told_with_the_role_before() {
    let tenancy = Tenancy::new().await;
    let before = on_record(&tenancy).await.len();
    let bob = user(MERCHANT, "bob").user_id;
    let as_a = |role| Member { user_id: bob.clone(), party: Party::Merchant(MERCHANT), role };
    for role in [Role::Viewer, Role::Viewer, Role::Operator] {
        tenancy.members.add(as_a(role), boss()).await.unwrap();
    }
    tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await.unwrap();
    let gone = tenancy.members.remove(Party::Merchant(MERCHANT), &bob, boss()).await;
    assert!(matches!(gone, Err(ManageMembersError::UnknownMember)), "{gone:?}");
    let nowhere = Member { party: Party::Merchant(crate::OTHER_MERCHANT), ..as_a(Role::Viewer) };
    let refused = tenancy.members.add(nowhere, boss()).await;
    assert!(matches!(refused, Err(ManageMembersError::NotGiven(GrantError::UnknownParty))), "{refused:?}");
    let told = |kind, details: &[_]| event(kind, Subject::User(bob.clone()), details);
    let wanted = [
        told(AuditKind::MemberAdded, &[("role", "viewer")]),
        told(AuditKind::MemberAdded, &[("role", "operator"), ("role_before", "viewer")]),
        told(AuditKind::MemberRemoved, &[]),
    ];
    assert_eq!(on_record(&tenancy).await[before..], wanted);
}

#[tokio::test]
async fn a_client_is_told_by_its_name_and_never_by_its_secret() {
    let tenancy = Tenancy::new().await;
    let before = on_record(&tenancy).await.len();
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
    let told = |kind, details: &[_]| event(kind, Subject::Client(till.clone()), details);
    let wanted = [
        told(AuditKind::ClientAdded, &[("role", "operator")]),
        told(AuditKind::ClientRotated, &[]),
        told(AuditKind::ClientRevoked, &[]),
    ];
    assert_eq!(on_record(&tenancy).await[before..], wanted);
}

#[tokio::test]
async fn a_session_that_is_over_by_itself_is_not_ended_again() {
    let tenancy = Tenancy::new().await;
    let close = tenancy.close();
    assert!(!close.end(&ann(), from(1)).await.unwrap());
    tenancy.initiate.execute(&ann(), "portal.example", from(1)).await.unwrap();
    let before = on_record(&tenancy).await;
    tenancy.clock.advance(crate::sessions::LIFETIME);
    assert!(!close.end(&ann(), from(1)).await.unwrap());
    assert_eq!(on_record(&tenancy).await, before);
    tenancy.initiate.execute(&ann(), "portal.example", from(1)).await.unwrap();
    assert!(close.end(&ann(), from(2)).await.unwrap());
    let kinds: Vec<_> =
        on_record(&tenancy).await[before.len()..].iter().map(|event| (event.kind, event.act.clone())).collect();
    let by = |number| from(number).by(Actor::User(ann().user_id));
    assert_eq!(kinds, [(AuditKind::SessionStarted, by(1)), (AuditKind::SessionEnded, by(2))]);
}
