//! Tests of the text forms of ids, codes, versions, user agents and stored words.

use pos_domain::audit::{AuditKind, Subject};
use pos_domain::device::{
    AppVersion, CodeEnd, DeviceEventKind, DeviceStatus, InvalidUserAgent, PairingCode, UserAgent,
};
use pos_domain::shared::{
    Actor, ApiClientId, DeviceId, Fingerprint, IdempotencyKey, InvalidDeviceId, LocationId, ResellerId, UserId,
};
use proptest::prelude::{any, proptest};
use proptest::prop_assert_eq;

use crate::MERCHANT;

#[test]
fn a_device_id_may_be_any_visible_name_with_the_prefix() {
    for good in ["POS-8F3A2C91", "POS-UNKNOWN", "POS-", "POS-8f3a2c91", &format!("POS-{}", "x".repeat(60))] {
        assert_eq!(DeviceId::parse(good).map(|id| id.as_str().to_owned()), Ok(good.to_owned()));
    }
    for (bad, why) in [
        ("", InvalidDeviceId::Prefix),
        ("pos-8F3A2C91", InvalidDeviceId::Prefix),
        (" POS-8F3A2C91", InvalidDeviceId::Prefix),
        (&format!("POS-{}", "x".repeat(61)), InvalidDeviceId::TooLong),
        ("POS-8F3A 2C91", InvalidDeviceId::NotVisibleAscii),
        ("POS-8F3A2C9\u{7f}", InvalidDeviceId::NotVisibleAscii),
        ("POS-8F3A2C9é", InvalidDeviceId::NotVisibleAscii),
    ] {
        assert_eq!(DeviceId::parse(bad), Err(why), "{bad:?}");
    }
}

#[test]
fn a_new_device_id_has_eight_upper_case_hex_digits() {
    assert_eq!(DeviceId::from_bits(0x8F3A_2C91).as_str(), "POS-8F3A2C91");
    assert_eq!(DeviceId::from_bits(7).as_str(), "POS-00000007");
    for bad in ["POS-8f3a2c91", "POS-8F3A2C9", "POS-8F3A2C911", "POS-8F3A2C9G", "8F3A2C91", "POS-+F3A2C91"] {
        assert!(DeviceId::parse_new(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_alphabet_is_that_of_the_contract() {
    let wanted: Vec<u8> = (b'A'..=b'Z').chain(b'2'..=b'9').filter(|symbol| !b"OI".contains(symbol)).collect();
    assert_eq!(PairingCode::ALPHABET.to_vec(), wanted);
}

#[test]
fn only_symbols_of_the_alphabet_are_accepted() {
    for symbol in 0..128_u8 {
        let text = String::from_utf8(vec![symbol; PairingCode::LEN]).unwrap();
        assert_eq!(PairingCode::parse(&text).is_ok(), PairingCode::ALPHABET.contains(&symbol), "{symbol}");
    }
}

#[test]
fn invalid_codes_are_rejected() {
    let nul = "K7M3N\0";
    for bad in
        ["", "K7M3N", "K7M3NPQ", "K7M3NO", "K7M3NI", "K7M3N0", "K7M3N1", "k7m3np", "K7M 3NP", "K7M3Né", nul, "🙂"]
    {
        assert!(PairingCode::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_typed_code_may_be_lower_case_padded_and_divided() {
    let code = PairingCode::parse("K7M3NP").unwrap();
    for typed in [
        "K7M3NP",
        "k7m3np",
        "  k7M3nP\t\n",
        "K7M-3NP",
        "K7M 3NP",
        "-k7 m3 np-",
        "K-7-M-3-N-P",
        "K7M\u{2011}3NP",
        "K7M\u{2010}3NP\u{a0}",
    ] {
        assert_eq!(PairingCode::from_typed(typed), Ok(code), "{typed:?}");
    }
    assert!(PairingCode::from_typed("K7M3Nſ").is_err(), "only ASCII letters are upper-cased");
    for bad in ["", " - ", "K7M-3N", "K7M-3NPQ", "K7M_3NP", "K7M.3NP", "K7M–3NP", "K7M3NP\0"] {
        assert!(PairingCode::from_typed(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn debug_output_hides_a_code() {
    let code = PairingCode::parse("K7M3NP").unwrap();
    assert!(!format!("{code:?}").contains("K7M3NP"));
}

proptest! {
    #[test]
    fn thirty_bits_and_codes_are_one_to_one(a in any::<u32>(), b in any::<u32>()) {
        let (code_a, code_b) = (PairingCode::from_bits(a), PairingCode::from_bits(b));
        prop_assert_eq!(code_a == code_b, (a << 2) == (b << 2));
        prop_assert_eq!(PairingCode::parse(code_a.as_str()), Ok(code_a));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>()) {
        let _ = PairingCode::from_typed(&text);
        let _ = UserAgent::parse(&text);
        let _ = DeviceId::parse(&text);
        let _ = text.parse::<AppVersion>();
        let _ = UserId::parse(&text);
        let _ = text.parse::<Actor>();
    }

    #[test]
    fn a_user_agent_is_parsed_into_its_parts(version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}", os in "[A-Za-z][A-Za-z0-9. ]{0,20}[a-z]", model in "[A-Z][A-Za-z0-9-]{0,20}") {
        let agent = UserAgent::parse(&format!("Viopay-POS/{version} ({os}; {model})")).unwrap();
        prop_assert_eq!(agent.app_version.as_str(), version);
        prop_assert_eq!((agent.os.as_deref(), agent.model.as_deref()), (Some(os.as_str()), Some(model.as_str())));
    }
}

#[test]
fn a_user_agent_needs_product_and_version_only() {
    let parse = |text: &str| UserAgent::parse(text).map(|agent| (agent.os, agent.model));
    assert_eq!(parse("Viopay-POS/1.4.2"), Ok((None, None)));
    assert_eq!(parse("Viopay-POS/1.4.2 ()"), Ok((None, None)));
    assert_eq!(parse("Viopay-POS/1.4.2 (Android 12"), Ok((None, None)));
    assert_eq!(parse("Viopay-POS/1.4.2 (Android 12)"), Ok((Some("Android 12".into()), None)));
    assert_eq!(parse("Viopay-POS/1.4.2 okhttp/4.9"), Ok((None, None)));
    for (bad, why) in [
        ("", InvalidUserAgent::Product),
        ("curl/8.0", InvalidUserAgent::Product),
        ("viopay-pos/1.4.2", InvalidUserAgent::Product),
        ("Viopay-POS/", InvalidUserAgent::Version),
        ("Viopay-POS/ 1.4.2", InvalidUserAgent::Version),
        ("Viopay-POS/1.4.2(Android)", InvalidUserAgent::Version),
        ("Viopay-POS/one", InvalidUserAgent::Version),
        ("Viopay-POS/1.4.2 (Androïd)", InvalidUserAgent::NotAscii),
        ("Viopay-POS/1.4.2\u{1}", InvalidUserAgent::NotAscii),
        (&format!("Viopay-POS/1.4.2 ({})", "x".repeat(600)), InvalidUserAgent::TooLong),
    ] {
        assert_eq!(UserAgent::parse(bad), Err(why), "{bad:?}");
    }
}

#[test]
fn versions_compare_by_number() {
    let ordered = ["0.9", "1.3.5", "1.4.0-rc.1", "1.4.0", "1.4.2", "1.10", "2", "10.0.0.1"];
    for (index, smaller) in ordered.iter().enumerate() {
        for larger in &ordered[index + 1..] {
            assert!(smaller.parse::<AppVersion>().unwrap() < larger.parse().unwrap(), "{smaller} < {larger}");
        }
    }
    assert_eq!("1.4".parse::<AppVersion>(), "1.4.0.0".parse());
    for bad in ["", "1.", ".1", "1..2", "1.2.3.4.5", "v1", "1.4.2-", "1.4294967296", "1.4.2-ü", &"1".repeat(33)] {
        assert!(bad.parse::<AppVersion>().is_err(), "{bad:?}");
    }
}

#[test]
fn stored_words_round_trip() {
    for kind in DeviceEventKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for status in DeviceStatus::ALL {
        assert_eq!(DeviceStatus::parse(status.as_str()), Some(status));
    }
    for end in [CodeEnd::Superseded, CodeEnd::Used] {
        assert_eq!(CodeEnd::parse(end.as_str()), Some(end));
    }
    for kind in AuditKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for subject in [
        Subject::Device(DeviceId::from_bits(1)),
        Subject::Merchant(MERCHANT),
        Subject::Reseller(ResellerId(MERCHANT.0)),
        Subject::Location(LocationId(MERCHANT.0)),
        Subject::User(UserId::parse("a:b").unwrap()),
        Subject::Client(ApiClientId::parse("till-1").unwrap()),
    ] {
        assert_eq!(subject.to_string().parse(), Ok(subject));
    }
    for actor in [
        Actor::Terminal,
        Actor::Operator,
        Actor::IdentityProvider,
        Actor::User(UserId::parse("user:operator").unwrap()),
    ] {
        assert_eq!(actor.to_string().parse(), Ok(actor));
    }
    assert!("nobody".parse::<Actor>().is_err() && "lost".parse::<DeviceEventKind>().is_err());
    assert!("moon:1".parse::<Subject>().is_err() && "device:1".parse::<Subject>().is_err());
    assert!(DeviceStatus::parse("Inactive").is_none() && CodeEnd::parse("").is_none());
}

#[test]
fn an_idempotency_key_is_visible_ascii() {
    let long = "k".repeat(255);
    for good in ["1", "a3f1-07", "!~", &long] {
        assert_eq!(IdempotencyKey::parse(good).map(|key| key.to_string()), Ok(good.to_owned()));
    }
    for bad in ["", "a b", "ü", "a\n", &"k".repeat(256)] {
        assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_idempotency_key_of_a_user_is_valid_and_unique() {
    let (key, ann, bob) = (IdempotencyKey::parse("k").unwrap(), user("ann"), user("bob"));
    let own = key.of_user(&ann);
    assert_eq!(IdempotencyKey::parse(own.as_str()), Ok(own.clone()));
    assert_eq!(own, key.of_user(&ann));
    for other in [key.clone(), key.of_user(&bob), IdempotencyKey::parse("nk").unwrap().of_user(&user("an"))] {
        assert_ne!(own, other);
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

#[test]
fn a_fingerprint_depends_on_where_its_parts_end() {
    let of = Fingerprint::of;
    assert_eq!(of(&[b"POST", b"{}"]), of(&[b"POST", b"{}"]));
    assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
    assert_ne!(of(&[b"ab"]), of(&[b"ab", b""]));
}
