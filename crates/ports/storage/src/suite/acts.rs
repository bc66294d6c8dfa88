//! Administrative acts: on record with the change, and not without it.

use pos_domain::{Actor, ApiClientId, AuditEvent, AuditKind, Merchant, Name, Party, ResellerId, Role, Scope, Subject};

use super::audit::on_record;
use super::fixtures::{at, context, merchant, user};
use super::races::together;
use super::tenancy::{
    anna, bringer, client, grant, hash, logout_of, membership, populated, reseller, session_of, session_of_client,
    shop, token,
};
use crate::{AddPartyError, GrantError, Logout, StartError, Storage};

const SHOP: fn() -> Party = || Party::Merchant(merchant(1));

/// An event with all there is in one, and a text that is hard to keep.
fn act(kind: AuditKind, subject: Subject, seconds: i64) -> AuditEvent {
    AuditEvent::of(kind, subject, context().by(Actor::User(user("bössin"))), at(seconds))
        .for_merchant(merchant(1))
        .with("party", Subject::from(SHOP()))
        .with("hard", "é \"quoted\" \\ '; --\n\u{1F980} {}")
}

fn of_reseller(id: ResellerId) -> AuditEvent {
    act(AuditKind::ResellerAdded, Subject::Reseller(id), 10)
}

fn of_member(kind: AuditKind, name: &str, seconds: i64) -> AuditEvent {
    act(kind, Subject::User(user(name)), seconds)
}

fn of_client(kind: AuditKind, id: &ApiClientId, seconds: i64) -> AuditEvent {
    act(kind, Subject::Client(id.clone()), seconds)
}

/// What came on record after the first `before` events.
async fn since(storage: &Storage, before: usize) -> Vec<AuditEvent> {
    on_record(storage).await.split_off(before)
}

/// Resellers and merchants: made known and renamed with an event, refused without.
pub async fn the_directory_is_on_record(storage: Storage) {
    let directory = &storage.directory;
    let (first, second) = (of_reseller(reseller(1)), of_reseller(reseller(2)));
    directory.add_reseller(&bringer(1), &first).await.unwrap();
    let refused = directory.add_reseller(&bringer(1), &second).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    let of_shop = |kind, seconds| act(kind, Subject::Merchant(merchant(1)), seconds);
    let (added, never) = (of_shop(AuditKind::MerchantAdded, 11), of_shop(AuditKind::MerchantAdded, 12));
    let refused = directory.add_merchant(&shop(1, Some(9)), None, &never).await;
    assert!(matches!(refused, Err(AddPartyError::UnknownReseller)), "{refused:?}");
    directory.add_merchant(&shop(1, Some(1)), None, &added).await.unwrap();
    let refused = directory.add_merchant(&shop(1, None), None, &never).await;
    assert!(matches!(refused, Err(AddPartyError::Taken)), "{refused:?}");
    let name = Name::parse("Another name").unwrap();
    let strangers = Scope::Of(Party::Reseller(reseller(2)));
    let renamed = of_shop(AuditKind::MerchantAmended, 13);
    assert_eq!(directory.rename_merchant(strangers, merchant(1), &name, &never).await.unwrap(), None);
    assert_eq!(directory.rename_merchant(Scope::Operator, merchant(2), &name, &never).await.unwrap(), None);
    assert!(directory.rename_merchant(Scope::Operator, merchant(1), &name, &renamed).await.unwrap().is_some());
    assert_eq!(on_record(&storage).await, [first, added, renamed]);
}

/// A merchant is renamed by those who see it: itself, its reseller, an operator; nothing else of it changes.
pub async fn a_merchant_is_renamed_within_a_scope(storage: Storage) {
    populated(&storage).await;
    let told = act(AuditKind::MerchantAmended, Subject::Merchant(merchant(1)), 10);
    for (number, scope, sees) in [
        (1, Scope::Of(SHOP()), true),
        (2, Scope::Of(Party::Reseller(reseller(1))), true),
        (3, Scope::Operator, true),
        (4, Scope::Of(Party::Reseller(reseller(2))), false),
        (5, Scope::Of(Party::Merchant(merchant(2))), false),
    ] {
        let name = Name::parse(&format!("Name № {number}")).unwrap();
        let before = storage.directory.find_merchant(Scope::Operator, merchant(1)).await.unwrap().unwrap();
        let renamed = storage.directory.rename_merchant(scope, merchant(1), &name, &told).await.unwrap();
        let after = storage.directory.find_merchant(Scope::Operator, merchant(1)).await.unwrap().unwrap();
        let wanted = if sees { Merchant { name, ..before.clone() } } else { before };
        assert_eq!((renamed, after), (sees.then(|| wanted.clone()), wanted), "{scope:?}");
    }
    let untouched = storage.directory.find_merchant(Scope::Operator, merchant(2)).await.unwrap();
    assert_eq!(untouched, Some(shop(2, Some(1))));
}

/// Memberships: given, replaced and taken away with an event, refused without.
pub async fn memberships_are_on_record(storage: Storage) {
    populated(&storage).await;
    let before = on_record(&storage).await.len();
    let members = &storage.members;
    let never = of_member(AuditKind::MemberAdded, "anna", 1);
    let nobodys = membership(1, "anna", Party::Merchant(merchant(9)), Role::Viewer);
    let refused = members.put(&nobodys, None, &never).await;
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

/// API clients: made, rotated and revoked with an event, refused without.
pub async fn clients_are_on_record(storage: Storage) {
    populated(&storage).await;
    let before = on_record(&storage).await.len();
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

/// Sessions: started, renewed and ended with an event each, refused without.
pub async fn sessions_are_on_record(storage: Storage) {
    let anna = anna(&storage).await;
    let before = on_record(&storage).await.len();
    let told = |kind, seconds| of_member(kind, "anna", seconds);
    let (sessions, never) = (&storage.sessions, told(AuditKind::SessionStarted, 1));
    let stranger = session_of(1, &membership(9, "anna", SHOP(), Role::Admin));
    let refused = sessions.start(&stranger, &never).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
    let machines = session_of_client(1, &client(1, "till", SHOP()));
    let refused = sessions.start(&machines, &never).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
    assert!(!sessions.end(&token(9), at(1_000), &never).await.unwrap());
    let (started, renewed) = (told(AuditKind::SessionStarted, 2), told(AuditKind::SessionStarted, 3));
    sessions.start(&session_of(1, &anna), &started).await.unwrap();
    sessions.start(&session_of(1, &anna), &renewed).await.unwrap();
    let ended = told(AuditKind::SessionEnded, 4);
    assert!(sessions.end(&token(1), at(1_000), &ended).await.unwrap());
    assert!(!sessions.end(&token(1), at(1_000), &never).await.unwrap());
    assert_eq!(since(&storage, before).await, [started, renewed, ended]);
}

/// Each logout is on record, whether a session was going on or not; a start that it keeps out is not.
pub async fn logouts_are_on_record(storage: Storage) {
    let anna = anna(&storage).await;
    let before = on_record(&storage).await.len();
    let told = |seconds| {
        let by = context().by(Actor::IdentityProvider);
        AuditEvent::of(AuditKind::SessionsLoggedOut, Subject::User(user("anna")), by, at(seconds))
    };
    let unknown = AuditEvent { subject: None, ..told(20).with("sessions", "one") };
    let whole = told(30).with("sessions", "all");
    let again = told(40).with("sessions", "all");
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

/// Lets many do one thing at once, each with an event of its own: one does it, and its event alone is on record.
async fn one_of_many<F>(storage: &Storage, what: &str, call: impl Fn(Storage, AuditEvent) -> F)
where
    F: Future<Output = bool> + Send + 'static,
{
    let before = on_record(storage).await.len();
    let event = |number| of_member(AuditKind::MemberAdded, "anna", 1).with("caller", number);
    let answers = together(|number| {
        let did = call(storage.clone(), event(number));
        async move { did.await.then_some(number) }
    });
    let did: Vec<u32> = answers.await.into_iter().flatten().collect();
    assert_eq!(did.len(), 1, "{what}");
    assert_eq!(since(storage, before).await, [event(did[0])], "{what}");
}

/// Of many who add one thing one does, and is on record.
pub async fn of_many_who_add_one_thing_one_is_on_record(storage: Storage) {
    populated(&storage).await;
    one_of_many(&storage, "a reseller", |storage, told| async move {
        match storage.directory.add_reseller(&bringer(7), &told).await {
            Err(AddPartyError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    one_of_many(&storage, "a merchant", |storage, told| async move {
        match storage.directory.add_merchant(&shop(7, Some(1)), None, &told).await {
            Err(AddPartyError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    one_of_many(&storage, "a client", |storage, told| async move {
        match storage.clients.add(&client(1, "till", SHOP()), &hash(1), &told).await {
            Err(GrantError::Taken) => false,
            added => added.map(|()| true).unwrap(),
        }
    })
    .await;
    let puts = |first: u16, before| {
        move |storage: Storage, told: AuditEvent| async move {
            let number: u16 = told.detail["caller"].parse().unwrap();
            match storage.members.put(&membership(first + number, "anna", SHOP(), Role::Viewer), before, &told).await {
                Err(GrantError::Changed) => false,
                put => put.map(|()| true).unwrap(),
            }
        }
    };
    one_of_many(&storage, "a membership", puts(1_000, None)).await;
    let present = storage.members.find(SHOP(), &user("anna")).await.unwrap().unwrap().grant;
    one_of_many(&storage, "a membership in place of another", puts(2_000, Some(present))).await;
}

/// Of many who end one thing one does, and is on record.
pub async fn of_many_who_end_one_thing_one_is_on_record(storage: Storage) {
    let anna = anna(&storage).await;
    let till = client(7, "till", SHOP());
    storage.clients.add(&till, &hash(1), &of_client(AuditKind::ClientAdded, &till.id, 0)).await.unwrap();
    let started = of_member(AuditKind::SessionStarted, "anna", 0);
    storage.sessions.start(&session_of(1, &anna), &started).await.unwrap();
    let first = token(1);
    one_of_many(&storage, "a session", move |storage, told| async move {
        storage.sessions.end(&first, at(1_000), &told).await.unwrap()
    })
    .await;
    one_of_many(&storage, "a client", |storage, told| {
        let id = till.id.clone();
        async move { storage.clients.revoke(&id, at(40), &told).await.unwrap() }
    })
    .await;
    one_of_many(&storage, "a membership", |storage, told| async move {
        storage.members.remove(SHOP(), &user("anna"), &told).await.unwrap()
    })
    .await;
}
