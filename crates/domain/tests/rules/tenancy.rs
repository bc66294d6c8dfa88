//! Tests of tenancy: authorization table, relations, sessions, names and keys.

use pos_domain::shared::{ApiClientId, GrantId, MerchantId, Name, Party, ResellerId, Role, Scope, UserId};
use pos_domain::tenancy::{
    Action, ClientApp, Denial, Member, Merchant, Relation, RevokedToken, SecretHash, Session, SessionKey, SessionToken,
    Slug, TokenKey, authorize,
};
use time::Duration;
use uuid::Uuid;

use crate::{MERCHANT, OTHER_MERCHANT, START};

const RESELLER: ResellerId = ResellerId(Uuid::from_u128(10));
const OTHER_RESELLER: ResellerId = ResellerId(Uuid::from_u128(20));

/// One row per action: the decisions for viewer, operator and admin, first as the merchant itself, then as its
/// reseller, then as a stranger. `y` allowed, `f` forbidden (403), `h` hidden (404).
const TABLE: &str = "
    ClaimDevice         fyy fff fff
    ViewDevices         yyy yyy hhh
    ProvisionDevice     fyy fyy hhh
    EditDevice          fyy fyy hhh
    ReleaseDevice       fyy fyy hhh
    DecommissionDevice  ffy ffy hhh
    ViewEvents          yyy yyy hhh
    CreateMerchant      fff ffy hhh
    ViewMerchant        yyy yyy hhh
    EditMerchant        ffy ffy hhh
    TransferDevice      fff fyy hhh
    ImportDevices       fff fyy hhh
    ViewLocations       yyy yyy hhh
    EditLocations       fyy fyy hhh
";

#[test]
fn every_role_relation_and_action_has_its_decision() {
    let mut seen = Vec::new();
    for line in TABLE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let named = words.next().unwrap();
        let action = Action::ALL.into_iter().find(|action| format!("{action:?}") == named).expect(named);
        for relation in Relation::ALL {
            let decisions: Vec<char> = words.next().expect(line).chars().collect();
            assert_eq!(decisions.len(), Role::ALL.len(), "{line}");
            for (role, decision) in Role::ALL.into_iter().zip(decisions) {
                let expected = match decision {
                    'y' => Ok(()),
                    'f' => Err(Denial::Forbidden),
                    'h' => Err(Denial::Hidden),
                    other => panic!("{other} in {line}"),
                };
                assert_eq!(authorize(role, relation, action), expected, "{role} as {relation:?}: {action:?}");
            }
        }
        assert_eq!(words.next(), None, "{line}");
        seen.push(action);
    }
    seen.sort();
    assert_eq!(seen, Action::ALL, "every action once");
}

#[test]
fn a_higher_role_includes_the_lower_ones() {
    for relation in Relation::ALL {
        for action in Action::ALL {
            let allowed = Role::ALL.map(|role| authorize(role, relation, action).is_ok());
            assert!(allowed.is_sorted(), "{relation:?} {action:?}: {allowed:?}");
        }
    }
}

#[test]
fn a_party_is_its_merchant_its_parent_or_a_stranger() {
    for (party, reseller, expected) in [
        (Party::Merchant(MERCHANT), Some(RESELLER), Relation::Own),
        (Party::Merchant(MERCHANT), None, Relation::Own),
        (Party::Merchant(OTHER_MERCHANT), Some(RESELLER), Relation::Stranger),
        (Party::Reseller(RESELLER), Some(RESELLER), Relation::Parent),
        (Party::Reseller(OTHER_RESELLER), Some(RESELLER), Relation::Stranger),
        (Party::Reseller(RESELLER), None, Relation::Stranger),
        (Party::Reseller(ResellerId(MERCHANT.0)), None, Relation::Stranger),
    ] {
        assert_eq!(Relation::of(party, MERCHANT, reseller), expected, "{party}, {reseller:?}");
        let merchant = Merchant { id: MERCHANT, name: Name::parse("Shop").unwrap(), reseller, created_at: START };
        assert_eq!(Scope::Of(party).sees(&merchant), expected != Relation::Stranger);
        assert!(Scope::Operator.sees(&merchant) && Scope::Operator.includes(party) && Scope::Of(party).includes(party));
    }
    assert!(!Scope::Of(Party::Reseller(RESELLER)).includes(Party::Merchant(MERCHANT)), "not its merchants' members");
    assert!(!Scope::Of(Party::Reseller(ResellerId(MERCHANT.0))).includes(Party::Merchant(MERCHANT)));
}

#[test]
fn the_highest_role_at_the_acting_party_is_chosen() {
    let at = |words: &[&str], party| Role::named_by(words.iter().copied(), party);
    let (merchant, reseller) = (Party::Merchant(MERCHANT), Party::Reseller(RESELLER));
    assert_eq!(at(&["merchant-viewer", "merchant-admin", "merchant-operator"], merchant), Some(Role::Admin));
    assert_eq!(at(&["merchant-viewer", "reseller-admin"], merchant), Some(Role::Viewer));
    assert_eq!(at(&["merchant-viewer", "reseller-admin"], reseller), Some(Role::Admin));
    for words in [&[][..], &["admin"], &["merchantadmin"], &["merchant-"], &["Merchant-Admin"], &["merchant-owner"]] {
        assert_eq!(at(words, merchant), None, "{words:?}");
    }
}

#[test]
fn roles_are_ordered_and_round_trip() {
    assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    for role in Role::ALL {
        assert_eq!(role.to_string().parse(), Ok(role));
    }
    assert!("Admin".parse::<Role>().is_err());
}

#[test]
fn a_session_expires_with_its_token_or_its_refresh_period() {
    let (lifetime, in_five_minutes) = (Duration::hours(10), START + Duration::minutes(5));
    assert_eq!(Session::end(START, in_five_minutes, true, lifetime), START + lifetime);
    assert_eq!(Session::end(START, in_five_minutes, false, lifetime), in_five_minutes);
    assert_eq!(Session::end(START, START + Duration::days(9), false, lifetime), START + lifetime);
    let session = Session {
        key: SessionKey([7; 32]),
        grant: GrantId(Uuid::from_u128(1)),
        member: Member {
            user_id: UserId::parse("ann").unwrap(),
            party: Party::Merchant(MerchantId(Uuid::from_u128(1))),
            role: Role::Admin,
        },
        reseller: None,
        client_app: ClientApp { application: Slug::parse("portal").unwrap(), channel: Slug::parse("web").unwrap() },
        client: None,
        token: None,
        token_issued_at: START,
        started_at: START,
        ends_at: in_five_minutes,
    };
    assert!(!session.is_expired(in_five_minutes - Duration::microseconds(1)) && session.is_expired(in_five_minutes));
}

#[test]
fn a_revocation_covers_the_token_and_earlier_ones() {
    let token = |session: u8, token: u8, seconds: i64| SessionToken {
        session: SessionKey([session; 32]),
        token: TokenKey([token; 32]),
        issued_at: START + Duration::seconds(seconds),
    };
    let SessionToken { session, token: key, issued_at } = token(1, 1, 10);
    let ended = RevokedToken { session, token: Some(key), issued_at };
    for (other, covered) in [
        (token(1, 1, 10), true),
        (token(1, 2, 9), true),
        (token(1, 2, 10), false),
        (token(1, 2, 11), false),
        (token(2, 2, 9), false),
        (token(2, 1, 10), false),
    ] {
        assert_eq!(ended.covers(&other), covered, "{other:?}");
    }
    let without_token = RevokedToken { token: None, ..ended };
    assert!(!without_token.covers(&token(1, 1, 10)) && without_token.covers(&token(1, 1, 9)));
    assert_eq!(format!("{ended:?}").matches("******").count(), 2, "no key in Debug");
}

#[test]
fn names_have_length_and_character_limits() {
    for (good, parsed) in [("Shop", "Shop"), ("  Café 7 ", "Café 7"), (&"é".repeat(200), &*"é".repeat(200))] {
        assert_eq!(Name::parse(good).map(|name| name.to_string()).as_deref(), Ok(parsed));
    }
    for bad in ["", "   ", "a\nb", "a\u{7f}", &"x".repeat(201)] {
        assert!(Name::parse(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "Portal", "a b", "a/b", "é", &"x".repeat(65)] {
        assert!(Slug::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Slug::parse("merchant-portal-2").is_ok());
    for bad in ["", "a b", "a:b", "é", "a/b", &"x".repeat(65)] {
        assert!(ApiClientId::parse(bad).is_err(), "{bad:?}");
    }
    assert!(ApiClientId::parse("Shop_1.till-2").is_ok());
}

#[test]
fn keys_and_hashes_round_trip_and_debug_hides_them() {
    let key = SessionKey(std::array::from_fn(|place| (place * 9) as u8));
    assert_eq!(SessionKey::from_hex(&key.to_hex()), Ok(key));
    for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"A".repeat(64), &"g".repeat(64), &"é".repeat(32)] {
        assert!(SessionKey::from_hex(bad).is_err(), "{bad:?}");
    }
    assert!(!format!("{key:?}").contains(&key.to_hex()));
    let hash = SecretHash::of_secret("abc");
    // FIPS 180-2, appendix B.1.
    assert_eq!(hash.as_phc(), "$sha256$ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert!(hash.matches("abc") && !hash.matches("abd") && !hash.matches(""));
    assert!(!SecretHash::of_phc("$other$x".into()).matches("abc"));
    assert!(!format!("{hash:?}").contains("ba7816bf"));
}
