//! Contract cases: sessions, their ends and logouts.

use pos_domain::shared::{Party, Role};
use pos_domain::tenancy::{ApiClient, Membership, Session, SessionToken, TokenKey};
use time::Duration;
use tokio::task::JoinSet;

use crate::Storage;
use crate::suite::fixtures::{at, merchant, user};
use crate::suite::tenancy::fixtures::{
    add_client, anna, client, end, grant, grant_membership, hash, key, log_out, logout_of, membership, populated,
    remove_member, reseller, revoke, rotate, session_of, session_of_client, start, token,
};
use crate::tenancy::{Logout, StartError};

async fn find_session(storage: &Storage, number: u8) -> Option<Session> {
    storage.sessions.find(&token(number), at(50)).await.unwrap()
}

async fn till(storage: &Storage) -> ApiClient {
    let till = client(7, "till", Party::Merchant(merchant(1)));
    add_client(storage, &till, &hash(1)).await.unwrap();
    till
}

/// A session is found by its key, as it was started, until it expires.
pub async fn a_session_is_found_until_it_expires(storage: Storage) {
    let session = session_of(1, &anna(&storage).await);
    start(&storage, &session).await.unwrap();
    let last = session.ends_at - Duration::microseconds(1);
    assert_eq!(storage.sessions.find(&token(1), last).await.unwrap(), Some(session.clone()));
    assert_eq!(storage.sessions.find(&token(1), session.ends_at).await.unwrap(), None);
    assert_eq!(find_session(&storage, 2).await, None);
}

/// Sessions of machines and resellers are read back too.
pub async fn every_kind_of_session_is_read_back(storage: Storage) {
    anna(&storage).await;
    let boss = membership(2, "boss", Party::Reseller(reseller(2)), Role::Viewer);
    grant_membership(&storage, &boss).await.unwrap();
    let till = till(&storage).await;
    let sessions = [session_of(1, &boss), session_of_client(2, &till)];
    for session in &sessions {
        start(&storage, session).await.unwrap();
    }
    assert_eq!(find_session(&storage, 1).await, Some(sessions[0].clone()));
    assert_eq!(find_session(&storage, 2).await, Some(sessions[1].clone()));
}

/// A session is returned with its merchant's reseller in the directory, whatever it was started with.
pub async fn the_reseller_is_read_from_the_directory(storage: Storage) {
    let session = Session { reseller: None, ..session_of(1, &anna(&storage).await) };
    start(&storage, &session).await.unwrap();
    assert_eq!(find_session(&storage, 1).await.unwrap().reseller, Some(reseller(1)));
}

/// Starting again with the same key replaces the session.
pub async fn a_session_is_renewed_in_place(storage: Storage) {
    let anna = anna(&storage).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    let later = Session { started_at: at(20), ends_at: at(300), token_issued_at: at(19), ..session_of(1, &anna) };
    start(&storage, &later).await.unwrap();
    assert_eq!(storage.sessions.find(&token(1), at(299)).await.unwrap(), Some(later));
}

/// A session needs a valid grant with the same properties.
pub async fn a_session_without_its_grant_is_not_started(storage: Storage) {
    anna(&storage).await;
    let anna = membership(3, "anna", Party::Merchant(merchant(1)), Role::Operator);
    grant_membership(&storage, &anna).await.unwrap();
    let till = till(&storage).await;
    let own = |change: fn(&mut Membership)| {
        let mut changed = anna.clone();
        change(&mut changed);
        session_of(1, &changed)
    };
    let machines = session_of_client(1, &till);
    let mut above = machines.clone();
    above.member.role = Role::Admin;
    for (name, session) in [
        ("another grant", own(|one| one.grant = grant(9))),
        ("another user", own(|one| one.member.user_id = user("bert"))),
        ("another merchant", own(|one| one.member.party = Party::Merchant(merchant(2)))),
        ("a role above", own(|one| one.member.role = Role::Admin)),
        ("a client's grant for a user", Session { client: None, ..machines.clone() }),
        ("a user's grant for a client", Session { client: Some(till.id.clone()), ..session_of(1, &anna) }),
        ("a role the client does not have", above),
        ("a client's grant before rotation", Session { grant: grant(8), ..machines }),
    ] {
        let refused = start(&storage, &session).await;
        assert!(matches!(refused, Err(StartError::NoGrant)), "{name}: {refused:?}");
        assert_eq!(find_session(&storage, 1).await, None, "{name}");
    }
}

/// A session may have a lower role than its grant, because the token may allow less.
pub async fn a_session_may_have_a_lower_role_than_its_grant(storage: Storage) {
    let anna = anna(&storage).await;
    let mut session = session_of(1, &anna);
    session.member.role = Role::Viewer;
    start(&storage, &session).await.unwrap();
    assert_eq!(find_session(&storage, 1).await, Some(session));
    let till = till(&storage).await;
    let mut session = session_of_client(2, &till);
    session.member.role = Role::Viewer;
    start(&storage, &session).await.unwrap();
    assert_eq!(find_session(&storage, 2).await, Some(session));
}

/// The session's next token, issued a second after the first; single sign-on issues one at the next log-in.
fn next(number: u8) -> SessionToken {
    SessionToken { token: TokenKey([100 + number; 32]), issued_at: at(6), ..token(number) }
}

/// A session that was started by this token.
fn by(token: SessionToken, session: Session) -> Session {
    Session { token: Some(token.token), token_issued_at: token.issued_at, ..session }
}

async fn is_found(storage: &Storage, token: &SessionToken) -> bool {
    storage.sessions.find(token, at(50)).await.unwrap().is_some()
}

async fn is_refused(storage: &Storage, session: &Session) -> bool {
    match start(storage, session).await {
        Ok(()) => false,
        Err(StartError::Ended) => true,
        Err(other) => panic!("{other:?}"),
    }
}

/// An ended session is not found, others are, and its token starts no other. A later token of the same session does;
/// then the first token neither finds nor ends that session.
pub async fn a_session_is_ended_once(storage: Storage) {
    let anna = anna(&storage).await;
    for number in [1, 2] {
        start(&storage, &session_of(number, &anna)).await.unwrap();
    }
    assert!(end(&storage, &token(1)).await.unwrap());
    assert!(!end(&storage, &token(1)).await.unwrap());
    assert_eq!((find_session(&storage, 1).await, find_session(&storage, 2).await.is_some()), (None, true));
    assert!(is_refused(&storage, &session_of(1, &anna)).await);
    let earlier = SessionToken { token: TokenKey([99; 32]), issued_at: at(4), ..token(1) };
    assert!(is_refused(&storage, &by(earlier, session_of(1, &anna))).await, "an earlier token of the same session");
    let twin = SessionToken { issued_at: at(5), ..next(1) };
    for later in [twin, next(1)] {
        let session = by(later, session_of(1, &anna));
        start(&storage, &session).await.unwrap();
        assert_eq!(storage.sessions.find(&later, at(50)).await.unwrap(), Some(session.clone()));
        assert_eq!(storage.sessions.find_by_key(&key(1), at(50)).await.unwrap(), Some(session));
    }
    assert!(!is_found(&storage, &token(1)).await && !is_found(&storage, &earlier).await);
    assert!(!end(&storage, &token(1)).await.unwrap() && is_found(&storage, &next(1)).await);
    for (token, ended) in [(token(1), true), (earlier, true), (twin, false), (next(1), false), (token(2), false)] {
        assert_eq!(storage.sessions.is_ended(&token).await.unwrap(), ended, "{token:?}");
    }
}

/// An end by any token also revokes the token that started the session.
pub async fn an_end_revokes_both_tokens(storage: Storage) {
    let anna = anna(&storage).await;
    for (starter, ender) in [(token(1), next(1)), (next(2), token(2))] {
        start(&storage, &by(starter, session_of(starter.session.0[0], &anna))).await.unwrap();
        assert!(end(&storage, &ender).await.unwrap());
        for token in [starter, ender] {
            assert!(is_refused(&storage, &by(token, session_of(token.session.0[0], &anna))).await, "{token:?}");
        }
    }
    let without_token = Session { token: None, ..session_of(3, &anna) };
    start(&storage, &without_token).await.unwrap();
    assert!(end(&storage, &next(3)).await.unwrap());
    assert!(is_refused(&storage, &session_of(3, &anna)).await);
}

/// An end without a session has no effect: the token may still start its first session.
pub async fn an_end_without_a_session_ends_nothing(storage: Storage) {
    let anna = anna(&storage).await;
    assert!(!end(&storage, &token(1)).await.unwrap());
    assert!(!storage.sessions.is_ended(&token(1)).await.unwrap());
    start(&storage, &session_of(1, &anna)).await.unwrap();
    assert!(is_found(&storage, &token(1)).await);
}

/// After concurrent starts and ends with a token that has a session, neither the token nor a later one finds a session.
pub async fn concurrent_starts_do_not_survive_an_end(storage: Storage) {
    let anna = anna(&storage).await;
    for round in 0..12_u8 {
        start(&storage, &session_of(round, &anna)).await.unwrap();
        let mut racing = JoinSet::new();
        for caller in 0..8 {
            let (storage, session) = (storage.clone(), session_of(round, &anna));
            racing.spawn(async move {
                if caller % 2 == 0 {
                    is_refused(&storage, &session).await;
                } else {
                    end(&storage, &token(round)).await.unwrap();
                }
            });
        }
        racing.join_all().await;
        assert!(!is_found(&storage, &token(round)).await && !is_found(&storage, &next(round)).await, "round {round}");
        assert!(is_refused(&storage, &session_of(round, &anna)).await, "round {round}");
        start(&storage, &by(next(round), session_of(round, &anna))).await.unwrap();
        assert!(is_found(&storage, &next(round)).await, "round {round}");
    }
}

/// Sessions end with their membership: when it is removed and when it is replaced.
pub async fn sessions_end_with_their_membership(storage: Storage) {
    let anna = anna(&storage).await;
    let bert = membership(2, "bert", Party::Merchant(merchant(1)), Role::Viewer);
    grant_membership(&storage, &bert).await.unwrap();
    for (number, of) in [(1, &anna), (2, &anna), (3, &bert)] {
        start(&storage, &session_of(number, of)).await.unwrap();
    }
    remove_member(&storage, anna.member.party, &anna.member.user_id).await.unwrap();
    assert_eq!((find_session(&storage, 1).await, find_session(&storage, 2).await), (None, None));
    assert!(find_session(&storage, 3).await.is_some());
    grant_membership(&storage, &Membership { grant: grant(3), ..anna.clone() }).await.unwrap();
    assert_eq!(find_session(&storage, 1).await, None, "granting the same membership again is another grant");
    let again = |session: Session| Session { grant: grant(3), ..session };
    assert!(is_refused(&storage, &again(session_of(1, &anna))).await, "its token ended with the membership");
    start(&storage, &again(by(next(1), session_of(1, &anna)))).await.unwrap();
    assert!(is_found(&storage, &next(1)).await && !is_found(&storage, &token(1)).await);
    grant_membership(&storage, &Membership { grant: grant(4), ..bert.clone() }).await.unwrap();
    assert_eq!(find_session(&storage, 3).await, None);
    let again = Session { grant: grant(4), ..session_of(3, &bert) };
    start(&storage, &again).await.unwrap();
    assert!(find_session(&storage, 3).await.is_some(), "another role is initiated with the same token");
}

/// Sessions of an API client end when its secret is rotated and when it is revoked.
pub async fn sessions_end_with_their_client(storage: Storage) {
    populated(&storage).await;
    let till = till(&storage).await;
    start(&storage, &session_of_client(1, &till)).await.unwrap();
    rotate(&storage, &till.id, grant(8), &hash(2)).await.unwrap();
    assert_eq!(find_session(&storage, 1).await, None);
    let rotated = ApiClient { grant: grant(8), ..till };
    assert!(is_refused(&storage, &session_of_client(1, &rotated)).await, "its token was obtained with the old secret");
    let member = membership(9, "service-account", Party::Merchant(merchant(1)), Role::Admin);
    grant_membership(&storage, &member).await.unwrap();
    assert!(is_refused(&storage, &session_of(1, &member)).await, "nor is it valid for a user");
    start(&storage, &by(next(1), session_of_client(1, &rotated))).await.unwrap();
    assert!(is_found(&storage, &next(1)).await);
    revoke(&storage, &rotated.id, at(40)).await.unwrap();
    assert!(!is_found(&storage, &next(1)).await);
    assert!(is_refused(&storage, &by(next(1), session_of(1, &member))).await);
    let refused = start(&storage, &session_of_client(1, &rotated)).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
}

/// A logged-out session is not found and cannot be started again with an earlier token, whether it had been started or
/// not. Other sessions can, and so can a later token of the same session, which does not make the earlier token valid.
pub async fn a_logged_out_session_cannot_restart(storage: Storage) {
    let anna = anna(&storage).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    for number in [1, 2] {
        log_out(&storage, &logout_of(number), at(1_000)).await.unwrap();
        let refused = start(&storage, &session_of(number, &anna)).await;
        assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
        assert_eq!(find_session(&storage, number).await, None);
    }
    start(&storage, &session_of(3, &anna)).await.unwrap();
    assert!(find_session(&storage, 3).await.is_some());
    let same = by(next(1), session_of(1, &anna));
    let refused = start(&storage, &same).await;
    assert!(matches!(refused, Err(StartError::LoggedOut)), "at the same instant: {refused:?}");
    let later = SessionToken { issued_at: at(7), ..next(1) };
    let session = by(later, session_of(1, &anna));
    start(&storage, &session).await.unwrap();
    assert_eq!(storage.sessions.find(&later, at(50)).await.unwrap(), Some(session.clone()));
    assert!(!is_found(&storage, &token(1)).await, "the earlier token does not share the later log-in");
    assert!(!end(&storage, &token(1)).await.unwrap(), "nor does it end it");
    log_out(&storage, &logout_of(1), at(1_000)).await.unwrap();
    assert!(is_found(&storage, &later).await, "a repeated logout ends no later session");
}

/// A user logout ends all sessions whose tokens were issued up to it; later ones stay valid.
pub async fn a_later_token_is_valid_after_a_user_logout(storage: Storage) {
    let anna = anna(&storage).await;
    let bert = membership(2, "bert", Party::Merchant(merchant(1)), Role::Viewer);
    grant_membership(&storage, &bert).await.unwrap();
    let later = Session { token_issued_at: at(6), ..session_of(2, &anna) };
    for session in [&session_of(1, &anna), &later, &session_of(3, &bert)] {
        start(&storage, session).await.unwrap();
    }
    let logout = |seconds| Logout::User { user_id: user("anna"), issued_until: at(seconds) };
    log_out(&storage, &logout(5), at(1_000)).await.unwrap();
    assert_eq!(find_session(&storage, 1).await, None);
    let own = SessionToken { issued_at: at(6), ..token(2) };
    assert_eq!(storage.sessions.find(&own, at(50)).await.unwrap(), Some(later.clone()));
    assert!(find_session(&storage, 3).await.is_some());
    let refused = start(&storage, &session_of(1, &anna)).await;
    assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
    let older = SessionToken { session: key(2), ..token(9) };
    assert!(!is_found(&storage, &older).await, "an earlier token of the later session is logged out");
    log_out(&storage, &logout(6), at(1_000)).await.unwrap();
    log_out(&storage, &logout(4), at(900)).await.unwrap();
    assert!(!is_found(&storage, &own).await, "the latest logout applies");
    let refused = start(&storage, &later).await;
    assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
}

/// Concurrent starts of one session all succeed, and one session is stored.
pub async fn concurrent_starts_store_one_session(storage: Storage) {
    let anna = anna(&storage).await;
    let mut starts = JoinSet::new();
    for number in 0..64 {
        let session = Session { started_at: at(number), ..session_of(1, &anna) };
        let storage = storage.clone();
        starts.spawn(async move { start(&storage, &session).await });
    }
    assert!(starts.join_all().await.into_iter().all(|started| started.is_ok()));
    assert!(find_session(&storage, 1).await.is_some());
    assert!(end(&storage, &token(1)).await.unwrap());
    assert_eq!(find_session(&storage, 1).await, None, "one session was stored");
}

/// A session that starts while its grant is being revoked does not survive it.
pub async fn no_session_outlives_a_revocation(storage: Storage) {
    anna(&storage).await;
    for round in 0..12_u8 {
        let till = client(100 + u16::from(round), &format!("till-{round}"), Party::Merchant(merchant(1)));
        add_client(&storage, &till, &hash(1)).await.unwrap();
        let worker = membership(200 + u16::from(round), "worker", Party::Merchant(merchant(1)), Role::Viewer);
        grant_membership(&storage, &worker).await.unwrap();
        let mut racing = JoinSet::new();
        for session in [session_of_client(100 + round, &till), session_of(200 + round, &worker)] {
            let storage = storage.clone();
            racing.spawn(async move {
                match start(&storage, &session).await {
                    Ok(()) | Err(StartError::NoGrant) => {}
                    Err(other) => panic!("{other:?}"),
                }
            });
        }
        let ending = storage.clone();
        racing.spawn(async move {
            assert!(revoke(&ending, &till.id, at(40)).await.unwrap());
            assert!(remove_member(&ending, worker.member.party, &worker.member.user_id).await.unwrap());
        });
        racing.join_all().await;
        assert_eq!(find_session(&storage, 100 + round).await, None, "round {round}");
        assert_eq!(find_session(&storage, 200 + round).await, None, "round {round}");
    }
}

/// Concurrent callers that count a wrong secret get different counts.
pub async fn every_wrong_secret_is_counted_once(storage: Storage) {
    let limit = pos_domain::shared::AttemptLimit { max_failures: 10, window: Duration::seconds(300) };
    let mut counts = JoinSet::new();
    for _ in 0..64 {
        let storage = storage.clone();
        counts.spawn(async move { storage.client_failures.record("till", &limit, at(1)).await.unwrap().failures });
    }
    let mut numbers = counts.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>());
}
