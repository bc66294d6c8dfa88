//! Contract cases: administrative changes and their audit events.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{Actor, ApiClientId, Name, Party, ResellerId, Role, Scope};
use pos_domain::tenancy::Merchant;

use crate::Storage;
use crate::suite::audit::events::audit_events;
use crate::suite::device::races::concurrently;
use crate::suite::fixtures::{at, context, merchant, user};
use crate::suite::tenancy::fixtures::{
    anna, client, grant, hash, logout_of, membership, merchant_row, populated, reseller, reseller_row, session_of,
    session_of_client, token,
};
use crate::tenancy::{AddPartyError, GrantError, Logout, StartError};

const SHOP: fn() -> Party = || Party::Merchant(merchant(1));

/// An event with every field set and a text that is hard to store.
fn audit_event(kind: AuditKind, subject: Subject, seconds: i64) -> AuditEvent {
    AuditEvent::of(kind, subject, context().with_actor(Actor::User(user("bössin"))), at(seconds))
        .for_merchant(merchant(1))
        .with("party", Subject::from(SHOP()))
        .with("hard", "é \"quoted\" \\ '; --\n\u{1F980} {}")
}

fn of_reseller(id: ResellerId) -> AuditEvent {
    audit_event(AuditKind::ResellerAdded, Subject::Reseller(id), 10)
}

fn of_member(kind: AuditKind, name: &str, seconds: i64) -> AuditEvent {
    audit_event(kind, Subject::User(user(name)), seconds)
}

fn of_client(kind: AuditKind, id: &ApiClientId, seconds: i64) -> AuditEvent {
    audit_event(kind, Subject::Client(id.clone()), seconds)
}

/// Returns the audit events after the first `before`.
async fn since(storage: &Storage, before: usize) -> Vec<AuditEvent> {
    audit_events(storage).await.split_off(before)
}

/// Creating and renaming resellers and merchants stores an event; a refused call stores none.
pub async fn directory_changes_are_audited(storage: Storage) {
    let directory = &storage.directory;
    let (first, second) = (of_reseller(reseller(1)), of_reseller(reseller(2)));
    directory.add_reseller(&reseller_row(1), &first).await.unwrap();
    let refused = directory.add_reseller(&reseller_row(1), &second).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    let of_shop = |kind, seconds| audit_event(kind, Subject::Merchant(merchant(1)), seconds);
    let (added, never) = (of_shop(AuditKind::MerchantAdded, 11), of_shop(AuditKind::MerchantAdded, 12));
    let refused = directory.add_merchant(&merchant_row(1, Some(9)), None, &never).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    directory.add_merchant(&merchant_row(1, Some(1)), None, &added).await.unwrap();
    let refused = directory.add_merchant(&merchant_row(1, None), None, &never).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    let name = Name::parse("Another name").unwrap();
    let strangers = Scope::Of(Party::Reseller(reseller(2)));
    let renamed = of_shop(AuditKind::MerchantUpdated, 13);
    assert_eq!(directory.rename_merchant(strangers, merchant(1), &name, &never).await.unwrap(), None);
    assert_eq!(directory.rename_merchant(Scope::Operator, merchant(2), &name, &never).await.unwrap(), None);
    assert!(directory.rename_merchant(Scope::Operator, merchant(1), &name, &renamed).await.unwrap().is_some());
    assert_eq!(audit_events(&storage).await, [first, added, renamed]);
}

/// A merchant can be renamed by itself, its reseller and an operator; nothing else of it changes.
pub async fn a_merchant_is_renamed_within_a_scope(storage: Storage) {
    populated(&storage).await;
    let renaming = audit_event(AuditKind::MerchantUpdated, Subject::Merchant(merchant(1)), 10);
    for (number, scope, sees) in [
        (1, Scope::Of(SHOP()), true),
        (2, Scope::Of(Party::Reseller(reseller(1))), true),
        (3, Scope::Operator, true),
        (4, Scope::Of(Party::Reseller(reseller(2))), false),
        (5, Scope::Of(Party::Merchant(merchant(2))), false),
    ] {
        let name = Name::parse(&format!("Name № {number}")).unwrap();
        let before = storage.directory.find_merchant(Scope::Operator, merchant(1)).await.unwrap().unwrap();
        let renamed = storage.directory.rename_merchant(scope, merchant(1), &name, &renaming).await.unwrap();
        let after = storage.directory.find_merchant(Scope::Operator, merchant(1)).await.unwrap().unwrap();
        let wanted = if sees { Merchant { name, ..before.clone() } } else { before };
        assert_eq!((renamed, after), (sees.then(|| wanted.clone()), wanted), "{scope:?}");
    }
    let untouched = storage.directory.find_merchant(Scope::Operator, merchant(2)).await.unwrap();
    assert_eq!(untouched, Some(merchant_row(2, Some(1))));
}

/// Granting, replacing and removing a membership stores an event; a refused call stores none.
pub async fn membership_changes_are_audited(storage: Storage) {
    populated(&storage).await;
    let before = audit_events(&storage).await.len();
    let members = &storage.members;
    let never = of_member(AuditKind::MemberAdded, "anna", 1);
    let unknown_party = membership(1, "anna", Party::Merchant(merchant(9)), Role::Viewer);
    let refused = members.put(&unknown_party, None, &never).await;
    assert!(matches!(refused, Err(GrantError::UnknownParty)), "{refused:?}");
    assert!(!members.remove(SHOP(), &user("anna"), &never).await.unwrap());

    let given = of_member(AuditKind::MemberAdded, "anna", 2);
    members.put(&membership(1, "anna", SHOP(), Role::Viewer), None, &given).await.unwrap();
    let (admin, bert) = (membership(2, "anna", SHOP(), Role::Admin), membership(1, "bert", SHOP(), Role::Viewer));
    for (name, other, of) in
        [("none", &admin, None), ("another", &admin, Some(grant(9))), ("one", &bert, Some(grant(1)))]
    {
        let refused = members.put(other, of, &never).await;
        assert!(matches!(refused, Err(GrantError::Changed)), "in place of {name}: {refused:?}");
    }
    let refused = members.put(&bert, None, &never).await;
    assert!(matches!(refused, Err(GrantError::Taken)), "{refused:?}");
    let replaced = of_member(AuditKind::MemberAdded, "anna", 3).with("role_before", Role::Viewer);
    members.put(&admin, Some(grant(1)), &replaced).await.unwrap();
    assert_eq!(members.list(Scope::Operator, None, 9).await.unwrap(), [admin]);

    let removed = of_member(AuditKind::MemberRemoved, "anna", 4);
    assert!(members.remove(SHOP(), &user("anna"), &removed).await.unwrap());
    assert!(!members.remove(SHOP(), &user("anna"), &never).await.unwrap());
    assert_eq!(since(&storage, before).await, [given, replaced, removed]);
}

/// Creating, rotating and revoking an API client stores an event; a refused call stores none.
pub async fn client_changes_are_audited(storage: Storage) {
    populated(&storage).await;
    let before = audit_events(&storage).await.len();
    let (clients, till) = (&storage.clients, client(1, "till", SHOP()));
    let never = of_client(AuditKind::ClientAdded, &till.id, 1);
    assert!(!clients.rotate(&till.id, grant(5), &hash(5), &never).await.unwrap());
    assert!(!clients.revoke(&till.id, at(1), &never).await.unwrap());
    let refused = clients.add(&client(1, "till", Party::Reseller(reseller(9))), &hash(1), &never).await;
    assert!(matches!(refused, Err(GrantError::UnknownParty)), "{refused:?}");
    let added = of_client(AuditKind::ClientAdded, &till.id, 2);
    clients.add(&till, &hash(1), &added).await.unwrap();
    let refused = clients.add(&till, &hash(1), &never).await;
    assert!(matches!(refused, Err(GrantError::Taken)), "{refused:?}");
    let rotated = of_client(AuditKind::ClientRotated, &till.id, 3);
    assert!(clients.rotate(&till.id, grant(2), &hash(2), &rotated).await.unwrap());
    let revoked = of_client(AuditKind::ClientRevoked, &till.id, 4);
    assert!(clients.revoke(&till.id, at(4), &revoked).await.unwrap());
    assert!(!clients.revoke(&till.id, at(5), &never).await.unwrap());
    assert!(!clients.rotate(&till.id, grant(3), &hash(3), &never).await.unwrap());
    assert_eq!(since(&storage, before).await, [added, rotated, revoked]);
}

/// Starting, renewing and ending a session stores an event; a refused call stores none.
pub async fn sessions_are_audited(storage: Storage) {
    let anna = anna(&storage).await;
    let before = audit_events(&storage).await.len();
    let of_anna = |kind, seconds| of_member(kind, "anna", seconds);
    let (sessions, never) = (&storage.sessions, of_anna(AuditKind::SessionStarted, 1));
    let stranger = session_of(1, &membership(9, "anna", SHOP(), Role::Admin));
    let refused = sessions.start(&stranger, &never).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
    let machines = session_of_client(1, &client(1, "till", SHOP()));
    let refused = sessions.start(&machines, &never).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
    assert!(!sessions.end(&token(9), at(1_000), &never).await.unwrap());
    let (started, renewed) = (of_anna(AuditKind::SessionStarted, 2), of_anna(AuditKind::SessionStarted, 3));
    sessions.start(&session_of(1, &anna), &started).await.unwrap();
    sessions.start(&session_of(1, &anna), &renewed).await.unwrap();
    let ended = of_anna(AuditKind::SessionEnded, 4);
    assert!(sessions.end(&token(1), at(1_000), &ended).await.unwrap());
    assert!(!sessions.end(&token(1), at(1_000), &never).await.unwrap());
    assert_eq!(since(&storage, before).await, [started, renewed, ended]);
}

/// Each logout stores an event, whether a session existed or not; a start that it prevents stores none.
pub async fn logouts_are_audited(storage: Storage) {
    let anna = anna(&storage).await;
    let before = audit_events(&storage).await.len();
    let logged_out = |seconds| {
        let by = context().with_actor(Actor::IdentityProvider);
        AuditEvent::of(AuditKind::SessionsLoggedOut, Subject::User(user("anna")), by, at(seconds))
    };
    let unknown = AuditEvent { subject: None, ..logged_out(20).with("sessions", "one") };
    let whole = logged_out(30).with("sessions", "all");
    let again = logged_out(40).with("sessions", "all");
    let everything = Logout::User { user_id: user("anna"), issued_until: at(20) };
    storage.sessions.log_out(&logout_of(1), at(1_000), &unknown).await.unwrap();
    for number in [1, 2] {
        if number == 2 {
            storage.sessions.log_out(&everything, at(1_000), &whole).await.unwrap();
        }
        let never = of_member(AuditKind::SessionStarted, "anna", 1);
        let refused = storage.sessions.start(&session_of(number, &anna), &never).await;
        assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
    }
    storage.sessions.log_out(&everything, at(1_000), &again).await.unwrap();
    assert_eq!(since(&storage, before).await, [unknown, whole, again]);
}

/// Makes concurrent calls, each with its own event, and checks that one succeeds and only its event is stored.
async fn one_of_many<F>(storage: &Storage, what: &str, call: impl Fn(Storage, AuditEvent) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let before = audit_events(storage).await.len();
    let event = |number| of_member(AuditKind::MemberAdded, "anna", 1).with("caller", number);
    let idempotency = concurrently(|number| {
        let did = call(storage.clone(), event(number));
        async move { did.await.then_some(number) }
    });
    let did: Vec<u32> = idempotency.await.into_iter().flatten().collect();
    assert_eq!(did.len(), 1, "{what}");
    assert_eq!(since(storage, before).await, [event(did[0])], "{what}");
}

/// Of concurrent additions one succeeds and is audited.
pub async fn concurrent_additions_are_audited_once(storage: Storage) {
    populated(&storage).await;
    one_of_many(&storage, "a reseller", |storage, audit| async move {
        match storage.directory.add_reseller(&reseller_row(7), &audit).await {
            Err(AddPartyError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    one_of_many(&storage, "a merchant", |storage, audit| async move {
        match storage.directory.add_merchant(&merchant_row(7, Some(1)), None, &audit).await {
            Err(AddPartyError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    one_of_many(&storage, "a client", |storage, audit| async move {
        match storage.clients.add(&client(1, "till", SHOP()), &hash(1), &audit).await {
            Err(GrantError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    let puts = |first: u16, before| {
        move |storage: Storage, audit: AuditEvent| async move {
            let number: u16 = audit.detail["caller"].parse().unwrap();
            match storage.members.put(&membership(first + number, "anna", SHOP(), Role::Viewer), before, &audit).await {
                Err(GrantError::Changed) => false,
                put => put.map(|()| true).unwrap(),
            }
        }
    };
    one_of_many(&storage, "a membership", puts(1_000, None)).await;
    let present = storage.members.find(SHOP(), &user("anna")).await.unwrap().unwrap().grant;
    one_of_many(&storage, "a membership in place of another", puts(2_000, Some(present))).await;
}

/// Of concurrent removals one succeeds and is audited.
pub async fn concurrent_removals_are_audited_once(storage: Storage) {
    let anna = anna(&storage).await;
    let till = client(7, "till", SHOP());
    storage.clients.add(&till, &hash(1), &of_client(AuditKind::ClientAdded, &till.id, 0)).await.unwrap();
    let started = of_member(AuditKind::SessionStarted, "anna", 0);
    storage.sessions.start(&session_of(1, &anna), &started).await.unwrap();
    let first = token(1);
    one_of_many(&storage, "a session", move |storage, audit| async move {
        storage.sessions.end(&first, at(1_000), &audit).await.unwrap()
    })
    .await;
    one_of_many(&storage, "a client", |storage, audit| {
        let id = till.id.clone();
        async move { storage.clients.revoke(&id, at(40), &audit).await.unwrap() }
    })
    .await;
    one_of_many(&storage, "a membership", |storage, audit| async move {
        storage.members.remove(SHOP(), &user("anna"), &audit).await.unwrap()
    })
    .await;
}
