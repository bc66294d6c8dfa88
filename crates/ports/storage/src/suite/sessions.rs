//! Sessions: started, replaced, found while they hold, and over for everybody when they are over.

use pos_domain::{ApiClient, Membership, Party, Role, Session};
use time::Duration;
use tokio::task::JoinSet;

use super::fixtures::{at, merchant, user};
use super::tenancy::{
    anna, client, dismiss, end, enlist, give, grant, hash, key, log_out, membership, populated, reseller, revoke,
    rotate, session_of, session_of_client, start,
};
use crate::{Logout, StartError, Storage};

async fn held(storage: &Storage, number: u8) -> Option<Session> {
    storage.sessions.find(&key(number), at(50)).await.unwrap()
}

async fn till(storage: &Storage) -> ApiClient {
    let till = client(7, "till", Party::Merchant(merchant(1)));
    enlist(storage, &till, &hash(1)).await.unwrap();
    till
}

/// A session is found by its key, as it was started, until the instant it is over.
pub async fn a_session_is_found_until_it_is_over(storage: Storage) {
    let session = session_of(1, &anna(&storage).await);
    start(&storage, &session).await.unwrap();
    let last = session.ends_at - Duration::microseconds(1);
    assert_eq!(storage.sessions.find(&key(1), last).await.unwrap(), Some(session.clone()));
    assert_eq!(storage.sessions.find(&key(1), session.ends_at).await.unwrap(), None);
    assert_eq!(held(&storage, 2).await, None);
}

/// A machine's and a reseller's session are read back too.
pub async fn every_kind_of_session_is_read_back(storage: Storage) {
    anna(&storage).await;
    let boss = membership(2, "boss", Party::Reseller(reseller(2)), Role::Viewer);
    give(&storage, &boss).await.unwrap();
    let till = till(&storage).await;
    let sessions = [session_of(1, &boss), session_of_client(2, &till)];
    for session in &sessions {
        start(&storage, session).await.unwrap();
    }
    assert_eq!(held(&storage, 1).await, Some(sessions[0].clone()));
    assert_eq!(held(&storage, 2).await, Some(sessions[1].clone()));
}

/// A session is told with its merchant's reseller as the directory has it, whatever it was started with.
pub async fn the_reseller_is_the_directorys(storage: Storage) {
    let session = Session { reseller: None, ..session_of(1, &anna(&storage).await) };
    start(&storage, &session).await.unwrap();
    assert_eq!(held(&storage, 1).await.unwrap().reseller, Some(reseller(1)));
}

/// Starting again with the same key replaces the session.
pub async fn a_session_is_renewed_in_place(storage: Storage) {
    let anna = anna(&storage).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    let later = Session { started_at: at(20), ends_at: at(300), token_issued_at: at(19), ..session_of(1, &anna) };
    start(&storage, &later).await.unwrap();
    assert_eq!(storage.sessions.find(&key(1), at(299)).await.unwrap(), Some(later));
}

/// A session needs a grant that stands and says the same.
pub async fn a_session_without_its_grant_is_not_started(storage: Storage) {
    anna(&storage).await;
    let anna = membership(3, "anna", Party::Merchant(merchant(1)), Role::Operator);
    give(&storage, &anna).await.unwrap();
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
        assert_eq!(held(&storage, 1).await, None, "{name}");
    }
}

/// A session may have a lower role than its grant, as the token may give less.
pub async fn a_session_may_have_less_than_its_grant(storage: Storage) {
    let anna = anna(&storage).await;
    let mut session = session_of(1, &anna);
    session.member.role = Role::Viewer;
    start(&storage, &session).await.unwrap();
    assert_eq!(held(&storage, 1).await, Some(session));
    let till = till(&storage).await;
    let mut session = session_of_client(2, &till);
    session.member.role = Role::Viewer;
    start(&storage, &session).await.unwrap();
    assert_eq!(held(&storage, 2).await, Some(session));
}

/// An ended session is gone, others stay, and its token may start another.
pub async fn a_session_is_ended_once(storage: Storage) {
    let anna = anna(&storage).await;
    for number in [1, 2] {
        start(&storage, &session_of(number, &anna)).await.unwrap();
    }
    assert!(end(&storage, &key(1)).await.unwrap());
    assert!(!end(&storage, &key(1)).await.unwrap());
    assert_eq!((held(&storage, 1).await, held(&storage, 2).await.is_some()), (None, true));
    start(&storage, &session_of(1, &anna)).await.unwrap();
    assert!(held(&storage, 1).await.is_some());
}

/// Sessions end with the membership they stand on: when it is taken away, and when it is replaced.
pub async fn sessions_end_with_their_membership(storage: Storage) {
    let anna = anna(&storage).await;
    let bert = membership(2, "bert", Party::Merchant(merchant(1)), Role::Viewer);
    give(&storage, &bert).await.unwrap();
    for (number, of) in [(1, &anna), (2, &anna), (3, &bert)] {
        start(&storage, &session_of(number, of)).await.unwrap();
    }
    dismiss(&storage, anna.member.party, &anna.member.user_id).await.unwrap();
    assert_eq!((held(&storage, 1).await, held(&storage, 2).await), (None, None));
    assert!(held(&storage, 3).await.is_some());
    give(&storage, &Membership { grant: grant(3), ..anna.clone() }).await.unwrap();
    assert_eq!(held(&storage, 1).await, None, "the same member again is another grant");
    give(&storage, &Membership { grant: grant(4), ..bert }).await.unwrap();
    assert_eq!(held(&storage, 3).await, None);
}

/// Sessions of a machine end when its secret is rotated, and when it is revoked.
pub async fn sessions_end_with_their_client(storage: Storage) {
    populated(&storage).await;
    let till = till(&storage).await;
    start(&storage, &session_of_client(1, &till)).await.unwrap();
    rotate(&storage, &till.id, grant(8), &hash(2)).await.unwrap();
    assert_eq!(held(&storage, 1).await, None);
    let rotated = ApiClient { grant: grant(8), ..till };
    start(&storage, &session_of_client(1, &rotated)).await.unwrap();
    assert!(held(&storage, 1).await.is_some());
    revoke(&storage, &rotated.id, at(40)).await.unwrap();
    assert_eq!(held(&storage, 1).await, None);
    let refused = start(&storage, &session_of_client(1, &rotated)).await;
    assert!(matches!(refused, Err(StartError::NoGrant)), "{refused:?}");
}

/// A session that the provider ended is over and cannot be started again, before or after it was; others can.
pub async fn a_logged_out_session_stays_out(storage: Storage) {
    let anna = anna(&storage).await;
    start(&storage, &session_of(1, &anna)).await.unwrap();
    for number in [1, 2] {
        log_out(&storage, &Logout::Session(key(number)), at(1_000)).await.unwrap();
        let refused = start(&storage, &session_of(number, &anna)).await;
        assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
        assert_eq!(held(&storage, number).await, None);
    }
    start(&storage, &session_of(3, &anna)).await.unwrap();
    assert!(held(&storage, 3).await.is_some());
}

/// All of a user's sessions end whose tokens were issued up to the logout; later ones hold.
pub async fn a_logged_out_user_comes_back_with_a_later_token(storage: Storage) {
    let anna = anna(&storage).await;
    let bert = membership(2, "bert", Party::Merchant(merchant(1)), Role::Viewer);
    give(&storage, &bert).await.unwrap();
    let later = Session { token_issued_at: at(6), ..session_of(2, &anna) };
    for session in [&session_of(1, &anna), &later, &session_of(3, &bert)] {
        start(&storage, session).await.unwrap();
    }
    let logout = |seconds| Logout::User { user_id: user("anna"), issued_until: at(seconds) };
    log_out(&storage, &logout(5), at(1_000)).await.unwrap();
    assert_eq!(held(&storage, 1).await, None);
    assert_eq!(held(&storage, 2).await, Some(later.clone()));
    assert!(held(&storage, 3).await.is_some());
    let refused = start(&storage, &session_of(1, &anna)).await;
    assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
    log_out(&storage, &logout(6), at(1_000)).await.unwrap();
    log_out(&storage, &logout(4), at(900)).await.unwrap();
    assert_eq!(held(&storage, 2).await, None, "the latest logout counts");
    let refused = start(&storage, &later).await;
    assert!(matches!(refused, Err(StartError::LoggedOut)), "{refused:?}");
}

/// Of many starts of one session at once none fails, and one session is kept.
pub async fn many_starts_of_one_session_keep_one(storage: Storage) {
    let anna = anna(&storage).await;
    let mut starts = JoinSet::new();
    for number in 0..64 {
        let session = Session { started_at: at(number), ..session_of(1, &anna) };
        let storage = storage.clone();
        starts.spawn(async move { start(&storage, &session).await });
    }
    assert!(starts.join_all().await.into_iter().all(|started| started.is_ok()));
    assert!(held(&storage, 1).await.is_some());
    assert!(end(&storage, &key(1)).await.unwrap());
    assert_eq!(held(&storage, 1).await, None, "there was one");
}

/// A session that starts while its grant goes does not outlive it.
pub async fn no_session_outlives_a_revocation(storage: Storage) {
    anna(&storage).await;
    for round in 0..12_u8 {
        let till = client(100 + u16::from(round), &format!("till-{round}"), Party::Merchant(merchant(1)));
        enlist(&storage, &till, &hash(1)).await.unwrap();
        let worker = membership(200 + u16::from(round), "worker", Party::Merchant(merchant(1)), Role::Viewer);
        give(&storage, &worker).await.unwrap();
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
            assert!(dismiss(&ending, worker.member.party, &worker.member.user_id).await.unwrap());
        });
        racing.join_all().await;
        assert_eq!(held(&storage, 100 + round).await, None, "round {round}");
        assert_eq!(held(&storage, 200 + round).await, None, "round {round}");
    }
}

/// Of callers that count a wrong secret at once each is told another number.
pub async fn every_wrong_secret_is_counted_once(storage: Storage) {
    let limit = pos_domain::ClaimLimit { max_failures: 10, window: Duration::seconds(300) };
    let mut counts = JoinSet::new();
    for _ in 0..64 {
        let storage = storage.clone();
        counts.spawn(async move { storage.client_failures.record("till", &limit, at(1)).await.unwrap().failures });
    }
    let mut told = counts.join_all().await;
    told.sort_unstable();
    assert_eq!(told, (1..=64).collect::<Vec<_>>());
}
