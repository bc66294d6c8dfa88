//! Tests of sessions of users and API clients.

use std::sync::Arc;

use pos_application::tenancy::{
    ActingError, Hosts, InitiateSessionError, LogOutError, StartClientSession, StartClientSessionError,
};
use pos_application::test_support::{MERCHANT, OTHER_MERCHANT, START, TestApp, request_from};
use pos_application::{IdentityPorts, Ports, Rules, UseCases};
use pos_domain::shared::{ApiClientId, AuditContext, Party, ResellerId, Role, UserId};
use pos_domain::tenancy::{ClientApp, Slug};
use pos_port_clock::ScriptedEntropy;
use pos_port_identity::{FixedClientTokens, FixedLogouts, FixedVerifier, LogoutNotice, Principal};
use secrecy::SecretString;
use time::Duration;
use uuid::Uuid;

use crate::in_memory;

pub(crate) const LIFETIME: Duration = Duration::hours(10);

fn rules() -> Rules {
    let slug = |text| Slug::parse(text).unwrap();
    let portal = ClientApp { application: slug("portal"), channel: slug("web") };
    let hosts = Hosts::new([("portal.example".to_owned(), portal.clone())]);
    Rules { hosts, machine_app: portal, session_lifetime: LIFETIME, ..crate::rules() }
}

pub(crate) fn ann() -> Principal {
    Principal::fixed(UserId::parse("ann").unwrap(), Some(MERCHANT))
}

/// All use cases on one store, with one merchant and its member `ann`.
pub(crate) async fn tenancy() -> TestApp {
    let app = TestApp::scripted(in_memory(), [], &rules());
    app.add_merchant(MERCHANT, "Shop", None).await;
    app.add_member("ann", Party::Merchant(MERCHANT), Role::Admin).await;
    app
}

/// The use cases on the store of `app`, with an identity provider that issues `token` to the client `till`, accepts only
/// the token `token`, and sends the logout notice `empty`.
fn with_provider(app: &TestApp, token: &str, principal: Principal) -> UseCases {
    let notice = LogoutNotice { session: None, user_id: None, issued_at: START };
    let identity = IdentityPorts {
        verifier: Arc::new(FixedVerifier::new([("token".to_owned(), principal)])),
        logouts: Arc::new(FixedLogouts::new([("empty".to_owned(), notice)])),
        client_tokens: Arc::new(FixedClientTokens::new([("till".to_owned(), token.to_owned())])),
    };
    let entropy = Arc::new(ScriptedEntropy::default());
    let ports = Ports { identity, ..Ports::for_tests(app.storage.clone(), app.clock.clone(), entropy) };
    UseCases::new(&ports, &rules())
}

fn start(app: &TestApp, token: &str, principal: Principal) -> StartClientSession {
    with_provider(app, token, principal).sessions.client
}

/// Adds the client `till` and returns its secret.
async fn add_till(app: &TestApp) -> SecretString {
    let id = ApiClientId::parse("till").unwrap();
    let (party, by) = (Party::Merchant(MERCHANT), AuditContext::operator());
    app.tenancy.clients.add(Some(id), party, Role::Operator, by, |_| Ok(())).await.unwrap().secret
}

/// Principal of the service account of the client `till`.
fn till() -> Principal {
    let authorized_party = Some("till".to_owned());
    Principal { authorized_party, ..Principal::fixed(UserId::parse("service-till").unwrap(), None) }
}

#[tokio::test]
async fn a_claimant_needs_an_initiated_session() {
    let app = tenancy().await;
    assert!(matches!(app.sessions.current.claimant(&ann()).await, Err(ActingError::NotInitiated)));
    let unknown = app.sessions.initiate.execute(&ann(), "elsewhere.example", request_from(1)).await;
    assert!(matches!(unknown, Err(InitiateSessionError::UnknownHost)));
    let initiated = app.sessions.initiate.execute(&ann(), "Portal.Example", request_from(1)).await.unwrap();
    assert_eq!((initiated.session.ends_at, initiated.session.member.role), (START + LIFETIME, Role::Admin));
    assert_eq!(app.sessions.current.claimant(&ann()).await.unwrap().merchant_id, MERCHANT);
    let reseller = Principal { reseller_id: Some(ResellerId(Uuid::from_u128(9))), ..ann() };
    let misled = app.sessions.initiate.execute(&reseller, "portal.example", request_from(1)).await;
    assert!(matches!(misled, Err(InitiateSessionError::NotAMember)), "the merchant is not of that reseller");
    app.clock.advance(LIFETIME);
    assert!(matches!(app.sessions.current.claimant(&ann()).await, Err(ActingError::NotInitiated)));
}

#[tokio::test]
async fn a_logout_notice_without_session_and_user_is_rejected() {
    let app = tenancy().await;
    app.sessions.initiate.execute(&ann(), "portal.example", request_from(1)).await.unwrap();
    let close = with_provider(&app, "token", ann()).sessions.close;
    for token in ["empty", "unknown"] {
        assert!(matches!(close.log_out(token, request_from(1)).await, Err(LogOutError::Token(_))), "{token}");
    }
    assert!(app.sessions.current.claimant(&ann()).await.is_ok());
}

#[tokio::test]
async fn a_client_session_needs_a_token_that_was_issued_to_the_client() {
    let app = tenancy().await;
    let secret = add_till(&app).await;
    let expired = Principal { authorized_party: Some("other".to_owned()), ..till() };
    let elsewhere = Principal { merchant_id: Some(OTHER_MERCHANT), ..till() };
    for (name, token, principal) in [
        ("not accepted", "unknown", till()),
        ("another client's", "token", expired),
        ("another merchant's", "token", elsewhere),
    ] {
        let refused = start(&app, token, principal).execute("till", &secret, request_from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::Refused)), "{name}: {refused:?}");
    }
    let started = start(&app, "token", till()).execute("till", &secret, request_from(1)).await.unwrap();
    assert_eq!(started.initiated.session.member.role, Role::Operator, "the client's role, as the token names none");
    assert!(!format!("{started:?}").contains("token\""), "no token in Debug");
    assert_eq!(app.sessions.current.claimant(&till()).await.unwrap().merchant_id, MERCHANT);
}

#[tokio::test]
async fn above_the_limit_only_the_right_secret_is_accepted() {
    let app = tenancy().await;
    let secret = add_till(&app).await;
    let start = start(&app, "token", till());
    for id in ["till", "nobody", "till"] {
        let refused = start.execute(id, &"guess".into(), request_from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::Refused)), "{id}: {refused:?}");
    }
    for id in ["till", "nobody"] {
        let refused = start.execute(id, &"guess".into(), request_from(1)).await;
        assert!(matches!(refused, Err(StartClientSessionError::TooManyFailures(_))), "{id}: {refused:?}");
    }
    assert!(start.execute("till", &secret, request_from(1)).await.is_ok());
}
