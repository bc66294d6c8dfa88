//! Fixtures of the contract cases: parties, members, clients and sessions.

use pos_domain::audit::{AuditEvent, AuditKind, Subject};
use pos_domain::shared::{
    ApiClientId, AuditContext, GrantId, MerchantId, Name, Party, ResellerId, Role, Scope, UserId,
};
use pos_domain::tenancy::{
    ApiClient, ClientApp, Member, Membership, Merchant, Reseller, SecretHash, Session, SessionKey, SessionToken, Slug,
    TokenKey,
};
use time::{Duration, OffsetDateTime};

use crate::Storage;
use crate::shared::StorageError;
use crate::suite::fixtures::{at, merchant, user};
use crate::tenancy::{AddPartyError, GrantError, Logout, StartError};

pub(crate) fn reseller(number: u8) -> ResellerId {
    let text = format!("0e0e0e0e-0000-4000-8000-0000000000{number:02x}");
    ResellerId(text.parse().unwrap())
}

pub(crate) fn grant(number: u16) -> GrantId {
    let text = format!("0d0d0d0d-0000-4000-8000-00000000{number:04x}");
    GrantId(text.parse().unwrap())
}

pub(crate) fn merchant_row(number: u8, of: Option<u8>) -> Merchant {
    let name = Name::parse(&format!("Shop № {number}")).unwrap();
    Merchant { id: merchant(number), name, reseller: of.map(reseller), created_at: at(0) }
}

pub(crate) fn reseller_row(number: u8) -> Reseller {
    Reseller { id: reseller(number), name: Name::parse(&format!("Reseller {number}")).unwrap(), created_at: at(0) }
}

pub(crate) fn reseller_added(number: u8) -> AuditEvent {
    AuditEvent::of(AuditKind::ResellerAdded, Subject::Reseller(reseller(number)), AuditContext::operator(), at(0))
}

pub(crate) fn merchant_added(number: u8) -> AuditEvent {
    let subject = Subject::Merchant(merchant(number));
    AuditEvent::of(AuditKind::MerchantAdded, subject, AuditContext::operator(), at(0)).for_merchant(merchant(number))
}

/// Creates resellers 1 and 2, merchants 1 and 2 of the first, 3 of the second, and 4 without a reseller.
pub(crate) async fn populated(storage: &Storage) {
    for number in [1, 2] {
        storage.directory.add_reseller(&reseller_row(number), &reseller_added(number)).await.unwrap();
    }
    for (number, of) in [(1, Some(1)), (2, Some(1)), (3, Some(2)), (4, None)] {
        storage.directory.add_merchant(&merchant_row(number, of), None, &merchant_added(number)).await.unwrap();
    }
}

/// Creates a merchant without a reseller unless it exists, because a device's merchant must exist. The event is at
/// second 1000, after those of most cases.
pub(crate) async fn with_merchant(storage: &Storage, id: MerchantId) {
    if storage.directory.find_merchant(Scope::Operator, id).await.unwrap().is_none() {
        let merchant = Merchant { id, ..merchant_row(0, None) };
        let event = AuditEvent { at: at(1_000), ..merchant_added(0) };
        match storage.directory.add_merchant(&merchant, None, &event).await {
            Ok(()) | Err(AddPartyError::Taken) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) fn membership(number: u16, name: &str, party: Party, role: Role) -> Membership {
    Membership { grant: grant(number), member: Member { user_id: user(name), party, role }, created_at: at(0) }
}

pub(crate) fn client(number: u16, name: &str, party: Party) -> ApiClient {
    let id = ApiClientId::parse(name).unwrap();
    ApiClient { id, grant: grant(number), party, role: Role::Operator, created_at: at(0), revoked_at: None }
}

pub(crate) fn hash(number: u16) -> SecretHash {
    SecretHash::of_secret(&format!("secret {number}"))
}

pub(crate) fn key(number: u8) -> SessionKey {
    SessionKey([number; 32])
}

/// A token of a session, issued at second 5.
pub(crate) fn token(number: u8) -> SessionToken {
    SessionToken { session: key(number), token: TokenKey([number; 32]), issued_at: at(5) }
}

/// A logout of a session for its tokens issued up to second 6.
pub(crate) fn logout_of(number: u8) -> Logout {
    Logout::Session { session: key(number), issued_until: at(6) }
}

/// A session of a membership: started at second 10 with a token of second 5, expires at second 100.
pub(crate) fn session_of(number: u8, membership: &Membership) -> Session {
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
        client_app: ClientApp { application: slug("merchant-portal"), channel: slug("web") },
        client: None,
        token: Some(token(number).token),
        token_issued_at: at(5),
        started_at: at(10),
        ends_at: at(10) + Duration::seconds(90),
    }
}

/// A session of an API client with its service account.
pub(crate) fn session_of_client(number: u8, client: &ApiClient) -> Session {
    let member = Member { user_id: user("service-account"), party: client.party, role: client.role };
    let service_account = Membership { grant: client.grant, member, created_at: at(0) };
    Session { client: Some(client.id.clone()), ..session_of(number, &service_account) }
}

/// Grants Anna's membership of the first merchant.
pub(crate) async fn anna(storage: &Storage) -> Membership {
    populated(storage).await;
    let anna = membership(1, "anna", Party::Merchant(merchant(1)), Role::Admin);
    grant_membership(storage, &anna).await.unwrap();
    anna
}

/// An event about a user, for cases that do not check events.
fn of_user(kind: AuditKind, user: &UserId) -> AuditEvent {
    AuditEvent::of(kind, Subject::User(user.clone()), AuditContext::operator(), at(0))
}

fn of_client(kind: AuditKind, id: &ApiClientId) -> AuditEvent {
    AuditEvent::of(kind, Subject::Client(id.clone()), AuditContext::operator(), at(0))
}

/// Grants a membership and replaces the user's current one at that party.
pub(crate) async fn grant_membership(storage: &Storage, membership: &Membership) -> Result<(), GrantError> {
    let Member { user_id, party, .. } = &membership.member;
    let before = storage.members.find(*party, user_id).await?.map(|before| before.grant);
    storage.members.put(membership, before, &of_user(AuditKind::MemberAdded, user_id)).await
}

pub(crate) async fn remove_member(storage: &Storage, party: Party, user: &UserId) -> Result<bool, StorageError> {
    storage.members.remove(party, user, &of_user(AuditKind::MemberRemoved, user)).await
}

pub(crate) async fn add_client(storage: &Storage, client: &ApiClient, secret: &SecretHash) -> Result<(), GrantError> {
    storage.clients.add(client, secret, &of_client(AuditKind::ClientAdded, &client.id)).await
}

pub(crate) async fn rotate(
    storage: &Storage,
    id: &ApiClientId,
    grant: GrantId,
    secret: &SecretHash,
) -> Result<bool, StorageError> {
    storage.clients.rotate(id, grant, secret, &of_client(AuditKind::ClientRotated, id)).await
}

pub(crate) async fn revoke(storage: &Storage, id: &ApiClientId, at: OffsetDateTime) -> Result<bool, StorageError> {
    storage.clients.revoke(id, at, &of_client(AuditKind::ClientRevoked, id)).await
}

pub(crate) async fn start(storage: &Storage, session: &Session) -> Result<(), StartError> {
    storage.sessions.start(session, &of_user(AuditKind::SessionStarted, &session.member.user_id)).await
}

pub(crate) async fn end(storage: &Storage, token: &SessionToken) -> Result<bool, StorageError> {
    storage.sessions.end(token, at(1_000), &of_user(AuditKind::SessionEnded, &user("anna"))).await
}

pub(crate) async fn log_out(
    storage: &Storage,
    logout: &Logout,
    expires_at: OffsetDateTime,
) -> Result<(), StorageError> {
    let audit = of_user(AuditKind::SessionsLoggedOut, &user("anna"));
    storage.sessions.log_out(logout, expires_at, &audit).await
}
