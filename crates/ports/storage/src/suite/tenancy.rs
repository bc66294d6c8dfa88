//! Parties and people the tenancy cases share.

use pos_domain::{
    Act, ApiClient, ApiClientId, AuditEvent, AuditKind, GrantId, Member, Membership, Merchant, MerchantId, Name, Party,
    Place, Reseller, ResellerId, Role, Scope, SecretHash, Session, SessionKey, SessionToken, Slug, Subject, TokenKey,
    UserId,
};
use time::{Duration, OffsetDateTime};

use super::fixtures::{at, merchant, user};
use crate::{AddPartyError, GrantError, Logout, StartError, Storage, StorageError};

pub(super) fn reseller(number: u8) -> ResellerId {
    let text = format!("0e0e0e0e-0000-4000-8000-0000000000{number:02x}");
    ResellerId(text.parse().unwrap())
}

pub(super) fn grant(number: u16) -> GrantId {
    let text = format!("0d0d0d0d-0000-4000-8000-00000000{number:04x}");
    GrantId(text.parse().unwrap())
}

pub(super) fn shop(number: u8, of: Option<u8>) -> Merchant {
    let name = Name::parse(&format!("Shop № {number}")).unwrap();
    Merchant { id: merchant(number), name, reseller: of.map(reseller), created_at: at(0) }
}

pub(super) fn bringer(number: u8) -> Reseller {
    Reseller { id: reseller(number), name: Name::parse(&format!("Reseller {number}")).unwrap(), created_at: at(0) }
}

pub(super) fn reseller_told(number: u8) -> AuditEvent {
    AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(reseller(number)), Act::operator(), at(0))
}

pub(super) fn merchant_told(number: u8) -> AuditEvent {
    let subject = Subject::Merchant(merchant(number));
    AuditEvent::of(AuditKind::MerchantAdded, subject, Act::operator(), at(0)).for_merchant(merchant(number))
}

/// Resellers 1 and 2; merchants 1 and 2 of the first, 3 of the second, 4 of none.
pub(super) async fn populated(storage: &Storage) {
    for number in [1, 2] {
        storage.directory.add_reseller(&bringer(number), &reseller_told(number)).await.unwrap();
    }
    for (number, of) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None)] {
        storage.directory.add_merchant(&shop(number, of), None, &merchant_told(number)).await.unwrap();
    }
}

/// Adds a merchant of no reseller, unless it is there: a device belongs to one that is. The event is of second 1000,
/// after those of most cases.
pub(super) async fn with_merchant(storage: &Storage, id: MerchantId) {
    if storage.directory.find_merchant(Scope::Operator, id).await.unwrap().is_none() {
        let merchant = Merchant { id, ..shop(0, None) };
        let event = AuditEvent { at: at(1_000), ..merchant_told(0) };
        match storage.directory.add_merchant(&merchant, None, &event).await {
            Ok(()) | Err(AddPartyError::Taken) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) fn membership(number: u16, name: &str, party: Party, role: Role) -> Membership {
    Membership { grant: grant(number), member: Member { user_id: user(name), party, role }, created_at: at(0) }
}

pub(super) fn client(number: u16, name: &str, party: Party) -> ApiClient {
    let id = ApiClientId::parse(name).unwrap();
    ApiClient { id, grant: grant(number), party, role: Role::Operator, created_at: at(0), revoked_at: None }
}

pub(super) fn hash(number: u16) -> SecretHash {
    SecretHash::of_phc(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0${number}"))
}

pub(super) fn key(number: u8) -> SessionKey {
    SessionKey([number; 32])
}

/// A token of a session, of second 5.
pub(super) fn token(number: u8) -> SessionToken {
    SessionToken { session: key(number), token: TokenKey([number; 32]), issued_at: at(5) }
}

/// The logout of a session by all of its tokens up to second 6.
pub(super) fn logout_of(number: u8) -> Logout {
    Logout::Session { session: key(number), issued_until: at(6) }
}

/// A session on a membership: initiated at second 10 with a token of second 5, over at second 100.
pub(super) fn session_of(number: u8, membership: &Membership) -> Session {
    let slug = |text| Slug::parse(text).unwrap();
    Session {
        key: key(number),
        grant: membership.grant,
        member: membership.member.clone(),
        reseller: match membership.member.party {
            Party::Merchant(id) if id == merchant(1) || id == merchant(2) => Some(reseller(1)),
            Party::Merchant(_) => None,
            Party::Reseller(id) => Some(id),
        },
        place: Place { application: slug("merchant-portal"), channel: slug("web") },
        client: None,
        token: Some(token(number).token),
        token_issued_at: at(5),
        started_at: at(10),
        ends_at: at(10) + Duration::seconds(90),
    }
}

/// A session on an API client, for its service account.
pub(super) fn session_of_client(number: u8, client: &ApiClient) -> Session {
    let member = Member { user_id: user("service-account"), party: client.party, role: client.role };
    let standing = Membership { grant: client.grant, member, created_at: at(0) };
    Session { client: Some(client.id.clone()), ..session_of(number, &standing) }
}

/// Anna's membership of the first merchant, kept.
pub(super) async fn anna(storage: &Storage) -> Membership {
    populated(storage).await;
    let anna = membership(1, "anna", Party::Merchant(merchant(1)), Role::Admin);
    give(storage, &anna).await.unwrap();
    anna
}

/// Some event about a user, for cases that look at something else.
fn of_user(kind: AuditKind, user: &UserId) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(user.clone()), Act::operator(), at(0))
}

fn of_client(kind: AuditKind, id: &ApiClientId) -> AuditEvent {
    AuditEvent::of(kind, Subject::Client(id.clone()), Act::operator(), at(0))
}

/// Gives a membership in place of whatever the user is at that party.
pub(super) async fn give(storage: &Storage, membership: &Membership) -> Result<(), GrantError> {
    let Member { user_id, party, .. } = &membership.member;
    let before = storage.members.find(*party, user_id).await?.map(|before| before.grant);
    storage.members.put(membership, before, &of_user(AuditKind::MemberAdded, user_id)).await
}

pub(super) async fn dismiss(storage: &Storage, party: Party, user: &UserId) -> Result<bool, StorageError> {
    storage.members.remove(party, user, &of_user(AuditKind::MemberRemoved, user)).await
}

pub(super) async fn enlist(storage: &Storage, client: &ApiClient, secret: &SecretHash) -> Result<(), GrantError> {
    storage.clients.add(client, secret, &of_client(AuditKind::ClientAdded, &client.id)).await
}

pub(super) async fn rotate(
    storage: &Storage,
    id: &ApiClientId,
    grant: GrantId,
    secret: &SecretHash,
) -> Result<bool, StorageError> {
    storage.clients.rotate(id, grant, secret, &of_client(AuditKind::ClientRotated, id)).await
}

pub(super) async fn revoke(storage: &Storage, id: &ApiClientId, at: OffsetDateTime) -> Result<bool, StorageError> {
    storage.clients.revoke(id, at, &of_client(AuditKind::ClientRevoked, id)).await
}

pub(super) async fn start(storage: &Storage, session: &Session) -> Result<(), StartError> {
    storage.sessions.start(session, &of_user(AuditKind::SessionStarted, &session.member.user_id)).await
}

pub(super) async fn end(storage: &Storage, token: &SessionToken) -> Result<bool, StorageError> {
    storage.sessions.end(token, at(1_000), &of_user(AuditKind::SessionEnded, &user("anna"))).await
}

pub(super) async fn log_out(
    storage: &Storage,
    logout: &Logout,
    keep_until: OffsetDateTime,
) -> Result<(), StorageError> {
    let told = of_user(AuditKind::SessionsLoggedOut, &user("anna"));
    storage.sessions.log_out(logout, keep_until, &told).await
}
