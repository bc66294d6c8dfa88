//! Tests of sessions of users and API clients.

use std::sync::Arc;

use pos_application::tenancy::{
    ActingError, ClientStores, CloseSession, CurrentSession, Hosts, InitiateSession, InitiateSessionError, LogOutError,
    ManageClients, ManageDirectory, ManageMembers, StartClientSession, StartClientSessionError,
};
use pos_domain::shared::{ApiClientId, AttemptLimit, AuditContext, Name, Party, ResellerId, Role, UserId};
use pos_domain::tenancy::{ClientApp, Member, Slug};
use pos_port_clock::{Clock, Entropy, ManualClock, ScriptedEntropy};
use pos_port_identity::{FixedClientTokens, FixedLogouts, FixedVerifier, LogoutNotice, Principal};
use pos_port_storage::{InMemoryStore, Storage};
use secrecy::SecretString;
use time::Duration;
use uuid::Uuid;

use crate::{MERCHANT, START, from};

pub(crate) const LIFETIME: Duration = Duration::hours(10);
const LIMIT: AttemptLimit = AttemptLimit { max_failures: 3, window: Duration::seconds(60) };

/// Use cases of tenancy on one store, with one merchant and its member `ann`.
pub(crate) struct TenancyFixture {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) storage: Storage,
    pub(crate) initiate: InitiateSession,
    current: CurrentSession,
    pub(crate) members: ManageMembers,
    pub(crate) clients: ManageClients,
}

fn client_app() -> ClientApp {
    ClientApp { application: Slug::parse("portal").unwrap(), channel: Slug::parse("web").unwrap() }
}

pub(crate) fn ann() -> Principal {
    Principal::fixed(UserId::parse("ann").unwrap(), Some(MERCHANT))
}

impl TenancyFixture {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let (time, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (clock.clone(), Arc::new(ScriptedEntropy::new([])));
        let storage = Storage::of(Arc::new(InMemoryStore::default()));
        let directory = ManageDirectory::new(storage.directory.clone(), time.clone(), entropy.clone());
        directory
            .add_merchant(Name::parse("Shop").unwrap(), None, Some(MERCHANT), AuditContext::operator())
            .await
            .unwrap();
        let (members, sessions) = (storage.members.clone(), storage.sessions.clone());
        let tenancy = Self {
            initiate: InitiateSession::new(
                storage.directory.clone(),
                members.clone(),
                sessions.clone(),
                time.clone(),
                Hosts::new([("portal.example".to_owned(), client_app())]),
                LIFETIME,
            ),
            current: CurrentSession::new(sessions, time.clone()),
            members: ManageMembers::new(members, time.clone(), entropy.clone()),
            clients: ManageClients::new(storage.clients.clone(), time, entropy),
            clock,
            storage,
        };
        tenancy.member(Role::Admin).await;
        tenancy
    }

    pub(crate) fn close(&self) -> CloseSession {
        let logouts = Arc::new(FixedLogouts::default());
        CloseSession::new(self.storage.sessions.clone(), logouts, self.clock.clone(), LIFETIME)
    }

    async fn member(&self, role: Role) {
        let member = Member { user_id: ann().user_id, party: Party::Merchant(MERCHANT), role };
        self.members.add(member, AuditContext::operator()).await.unwrap();
    }

    fn start(&self, token: &str, principal: Principal) -> StartClientSession {
        let stores = ClientStores {
            clients: self.storage.clients.clone(),
            failures: self.storage.client_failures.clone(),
            directory: self.storage.directory.clone(),
            sessions: self.storage.sessions.clone(),
        };
        StartClientSession::new(
            stores,
            Arc::new(FixedClientTokens::new([("till".to_owned(), token.to_owned())])),
            Arc::new(FixedVerifier::new([("token".to_owned(), principal)])),
            self.clock.clone(),
            client_app(),
            LIMIT,
            LIFETIME,
        )
    }

    async fn till(&self) -> SecretString {
        let id = ApiClientId::parse("till").unwrap();
        self.clients
            .add(Some(id), Party::Merchant(MERCHANT), Role::Operator, AuditContext::operator(), |_| Ok(()))
            .await
            .unwrap()
            .secret
    }
}

/// Principal of the service account of the client `till`.
fn till() -> Principal {
    let authorized_party = Some("till".to_owned());
    Principal { authorized_party, ..Principal::fixed(UserId::parse("service-till").unwrap(), None) }
}

#[tokio::test]
async fn a_claimant_needs_an_initiated_session() {
    let tenancy = TenancyFixture::new().await;
    assert!(matches!(tenancy.current.claimant(&ann()).await, Err(ActingError::NotInitiated)));
    let unknown = tenancy.initiate.execute(&ann(), "elsewhere.example", from(1)).await;
    assert!(matches!(unknown, Err(InitiateSessionError::UnknownHost)));
    let initiated = tenancy.initiate.execute(&ann(), "Portal.Example", from(1)).await.unwrap();
    assert_eq!((initiated.session.ends_at, initiated.session.member.role), (START + LIFETIME, Role::Admin));
    assert_eq!(tenancy.current.claimant(&ann()).await.unwrap().merchant_id, MERCHANT);
    let reseller = Principal { reseller_id: Some(ResellerId(Uuid::from_u128(9))), ..ann() };
    let misled = tenancy.initiate.execute(&reseller, "portal.example", from(1)).await;
    assert!(matches!(misled, Err(InitiateSessionError::NotAMember)), "the merchant is not of that reseller");
    tenancy.clock.advance(LIFETIME);
    assert!(matches!(tenancy.current.claimant(&ann()).await, Err(ActingError::NotInitiated)));
}

#[tokio::test]
async fn a_logout_notice_without_session_and_user_is_rejected() {
    let tenancy = TenancyFixture::new().await;
    tenancy.initiate.execute(&ann(), "portal.example", from(1)).await.unwrap();
    let notice = LogoutNotice { session: None, user_id: None, issued_at: START };
    let logouts = Arc::new(FixedLogouts::new([("empty".to_owned(), notice)]));
    let close = CloseSession::new(tenancy.storage.sessions.clone(), logouts, tenancy.clock.clone(), LIFETIME);
    for token in ["empty", "unknown"] {
        assert!(matches!(close.log_out(token, from(1)).await, Err(LogOutError::Token(_))), "{token}");
    }
    assert!(tenancy.current.claimant(&ann()).await.is_ok());
}

#[tokio::test]
async fn a_client_session_needs_a_token_that_was_issued_to_the_client() {
    let tenancy = TenancyFixture::new().await;
    let secret = tenancy.till().await;
    let expired = Principal { authorized_party: Some("other".to_owned()), ..till() };
    let elsewhere = Principal { merchant_id: Some(crate::OTHER_MERCHANT), ..till() };
    for (name, token, principal) in [
        ("not accepted", "unknown", till()),
        ("another client's", "token", expired),
        ("another merchant's", "token", elsewhere),
    ] {
        let refused = tenancy.start(token, principal).execute("till", &secret, from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::Refused)), "{name}: {refused:?}");
    }
    let started = tenancy.start("token", till()).execute("till", &secret, from(1)).await.unwrap();
    assert_eq!(started.initiated.session.member.role, Role::Operator, "the client's role, as the token names none");
    assert!(!format!("{started:?}").contains("token\""), "no token in Debug");
    assert_eq!(tenancy.current.claimant(&till()).await.unwrap().merchant_id, MERCHANT);
}

#[tokio::test]
async fn above_the_limit_only_the_right_secret_is_accepted() {
    let tenancy = TenancyFixture::new().await;
    let secret = tenancy.till().await;
    let start = tenancy.start("token", till());
    for id in ["till", "nobody", "till"] {
        let refused = start.execute(id, &"guess".into(), from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::Refused)), "{id}: {refused:?}");
    }
    for id in ["till", "nobody"] {
        let refused = start.execute(id, &"guess".into(), from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::TooManyFailures(_))), "{id}: {refused:?}");
    }
    assert!(start.execute("till", &secret, from(1)).await.is_ok());
}
